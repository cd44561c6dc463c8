"""Lines that repeat are counted, not kept."""

import logging
from contextlib import suppress

import pytest
import structlog

from pipeline.log_limit import (
    MAX_LINES,
    MAX_UNIT_LINES,
    NEVER_LEFT_OUT,
    Kind,
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
    limit = RepeatLimit[str](max_lines=2, period_s=60.0)

    assert [limit.admit("a", now_s) for now_s in (0.0, 1.0, 2.0, 59.9)] == [
        0,
        0,
        None,
        None,
    ]
    assert limit.admit("b", 59.9) == 0


def test_the_first_line_of_the_next_period_says_how_many_were_left_out() -> None:
    limit = RepeatLimit[str](max_lines=2, period_s=60.0)
    for _ in range(100):
        limit.admit("a", 0.0)

    assert [limit.admit("a", 60.0), limit.admit("a", 60.0)] == [98, 0]


def test_kinds_that_are_remembered_are_bounded_and_the_latest_are() -> None:
    limit = RepeatLimit[int](max_lines=1, period_s=60.0, max_keys=10)
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


def test_a_reason_tells_kinds_apart_so_that_none_hides_the_first_of_another() -> None:
    process = limiting_ours(RepeatLimit(max_lines=1, period_s=60.0), Clock())
    for _ in range(5_000):
        with suppress(structlog.DropEvent):
            process(None, "warning", {"event": "rejected", "reason": "not_json"})

    line = {"event": "rejected", "reason": "bad_time"}
    assert process(None, "warning", line) == line


def test_a_storm_of_one_unit_hides_no_first_line_of_another() -> None:
    clock = Clock()
    process = limiting_ours(RepeatLimit(), clock)
    logged = []
    for n in range(5_000):
        with suppress(structlog.DropEvent):
            process(None, "info", {"event": "opened", "unit": "a"})
            logged.append(n)

    assert logged == list(range(MAX_UNIT_LINES))
    assert process(None, "info", {"event": "opened", "unit": "b"}) == {
        "event": "opened",
        "unit": "b",
        "n_suppressed": 5_000 - MAX_UNIT_LINES,
    }
    clock.now_s = 60.0
    line = {"event": "opened", "unit": "a"}
    assert process(None, "info", line) == line


def test_units_that_are_remembered_are_bounded_too() -> None:
    limit = RepeatLimit[str](max_keys=10)
    for n in range(10_000):
        limit.admit("opened", 0.0, unit=f"pump-{n}")

    assert len(limit._seen_of_units) == 10


def test_what_was_left_out_is_told_when_the_period_is_over_without_a_further_line() -> None:
    limit = RepeatLimit[str](max_lines=2, period_s=60.0)
    for _ in range(10):
        limit.admit("a", 0.0)
    limit.admit("b", 0.0)

    assert limit.take_left_out(59.9) == []
    assert limit.take_left_out(60.0) == [("a", 8)]
    assert limit.take_left_out(120.0) == []
    assert limit.admit("a", 120.0) == 0


def test_at_the_end_it_is_told_of_every_kind_and_each_line_left_out_is_told_once() -> None:
    limit = RepeatLimit[str](max_lines=2, period_s=60.0)
    told = 0
    for n in range(1_000):
        told += limit.admit("a", n * 0.1) or 0
    limit.admit("b", 99.0, n_more=7)

    assert limit.take_left_out() == [("a", 1_000 - 4 - told), ("b", 7)]
    assert limit.take_left_out() == []


def test_what_ends_the_process_or_tells_of_what_is_left_out_is_never_left_out() -> None:
    process = limiting_ours(RepeatLimit(max_lines=1, period_s=60.0), Clock())

    for event in NEVER_LEFT_OUT:
        for n in range(5):
            line = {"event": event, "detail": n}
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


def test_of_many_at_once_the_first_of_each_kind_and_unit_are_among_those() -> None:
    items = [("not_json", None)] * 5_000 + [("bad_time", None)]
    tried = [item for item, _ in at_most(items, lambda item: item[0])]
    assert tried == [("not_json", None)] * MAX_LINES + [("bad_time", None)]

    storm = [("opened", "a")] * 5_000 + [("opened", f"pump-{n}") for n in range(9)]
    tried_units = [u for (_, u), _ in at_most(storm, lambda e: e[0], lambda e: e[1])]
    assert tried_units == ["a"] * MAX_UNIT_LINES + [f"pump-{n}" for n in range(9)]


def test_and_of_each_kind_all_are_counted() -> None:
    limit = RepeatLimit[Kind]()
    process = limiting_ours(limit, Clock())
    items = [("opened", "a")] * 500 + [("closed", f"pump-{n}") for n in range(100)]

    n_logged = 0
    for (event, unit), more in at_most(items, lambda e: e[0], lambda e: e[1]):
        process(None, "info", {"event": event, "unit": unit, **more})
        n_logged += 1

    assert n_logged == MAX_UNIT_LINES + MAX_LINES
    assert limit.take_left_out() == [
        (Kind("info", "opened"), 500 - MAX_UNIT_LINES),
        (Kind("info", "closed"), 100 - MAX_LINES),
    ]
