"""Lines that repeat are counted, not kept."""

import logging

import pytest
import structlog

from pipeline.log_limit import (
    MAX_LINES,
    RepeatLimit,
    at_most,
    limiting_others,
    limiting_ours,
    with_suppressed,
)


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_a_period_takes_so_many_lines_of_a_kind_and_no_more() -> None:
    limit = RepeatLimit(max_lines=2, period_s=60.0)

    assert [limit.admit("a", now_s) for now_s in (0.0, 1.0, 2.0, 59.9)] == [
        0,
        0,
        None,
        None,
    ]
    assert limit.admit("b", 59.9) == 0


def test_the_first_line_of_the_next_period_says_how_many_were_left_out() -> None:
    limit = RepeatLimit(max_lines=2, period_s=60.0)
    for _ in range(100):
        limit.admit("a", 0.0)

    assert [limit.admit("a", 60.0), limit.admit("a", 60.0)] == [98, 0]


def test_kinds_that_are_remembered_are_bounded_and_the_latest_are() -> None:
    limit = RepeatLimit(max_lines=1, period_s=60.0, max_keys=10)
    for n in range(10_000):
        limit.admit(n, 0.0)

    assert len(limit._seen) == 10
    assert limit.admit(9_999, 0.0) is None
    assert limit.admit(0, 0.0) == 0


def test_our_lines_are_told_apart_by_event_and_level() -> None:
    clock = Clock()
    process = limiting_ours(RepeatLimit(max_lines=1, period_s=60.0), clock)

    assert process(None, "info", {"event": "a", "unit": 1}) == {"event": "a", "unit": 1}
    assert process(None, "warning", {"event": "a"}) == {"event": "a"}
    for _ in range(3):
        with pytest.raises(structlog.DropEvent):
            process(None, "info", {"event": "a", "unit": 2})
    clock.now_s = 60.0
    assert process(None, "info", {"event": "a"}) == {"event": "a", "n_suppressed": 3}


def test_what_ends_the_process_is_never_left_out() -> None:
    process = limiting_ours(RepeatLimit(max_lines=1, period_s=60.0), Clock())

    for n in range(5):
        line = {"event": "process_failed", "detail": n}
        assert process(None, "error", line) == line


def test_lines_of_libraries_are_told_apart_by_the_place_that_they_come_from() -> None:
    clock = Clock()
    is_wanted = limiting_others(RepeatLimit(max_lines=1, period_s=60.0), clock)

    def record(line: int, text: str) -> logging.LogRecord:
        return logging.LogRecord("kafka", logging.ERROR, "conn.py", line, text, (), None)

    assert is_wanted(record(7, "gone: 1"))
    assert not is_wanted(record(7, "gone: 2"))
    assert is_wanted(record(8, "gone: 3"))
    clock.now_s = 60.0
    later = record(7, "gone: 4")
    assert is_wanted(later)
    line = with_suppressed(None, "error", {"event": "gone: 4", "_record": later})
    assert line["n_suppressed"] == 1


def test_of_many_at_once_so_many_are_tried_and_all_are_counted() -> None:
    clock = Clock()
    process = limiting_ours(RepeatLimit(MAX_LINES, 60.0), clock)

    lines = [{"event": "a", "n": n, **more} for n, more in at_most(range(10_000))]

    assert len(lines) == MAX_LINES
    for line in lines:
        assert process(None, "info", line) == {"event": "a", "n": line["n"]}
    clock.now_s = 60.0
    later = {"event": "a", "n_suppressed": 10_000 - MAX_LINES}
    assert process(None, "info", {"event": "a"}) == later
