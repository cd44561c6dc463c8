"""How often it is told that traces do not arrive."""

import logging

from structlog.testing import capture_logs

from pipeline.trace_losses import LIBRARY, PERIOD_S, LibraryLines, TraceLosses


def test_losses_are_told_at_once_and_then_once_a_minute_with_their_number() -> None:
    now_s = 100.0
    losses = TraceLosses(lambda: now_s)

    with capture_logs() as lines:
        for _ in range(10):
            losses.add(3, "refused")
        now_s += PERIOD_S
        losses.add(3, "still refused")

    assert [(line["n_batches"], line["error"]) for line in lines] == [
        (3, "refused"),
        (30, "still refused"),
    ]


def test_the_last_ones_are_told_when_the_collector_is_back() -> None:
    now_s = 100.0
    losses = TraceLosses(lambda: now_s)
    losses.add(3, "refused")
    losses.add(3, "refused")

    with capture_logs() as lines:
        losses.tell_if_due()
        assert lines == []
        now_s += PERIOD_S
        losses.tell_if_due()
        losses.tell_if_due()

    assert [line["n_batches"] for line in lines] == [3]


def test_a_reason_is_the_library_s_line_that_says_most() -> None:
    library = LibraryLines()
    logger = logging.getLogger(f"{LIBRARY}.otlp")

    logger.error("Failed to export %s batch due to timeout", "spans")
    assert library.last == "Failed to export spans batch due to timeout"
    logger.warning("Transient error %s", "refused")
    logger.error("Failed to export %s batch due to timeout", "spans")
    assert library.last == "Transient error refused"
