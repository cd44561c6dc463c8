"""A log that does not grow with what is sent to the worker."""

from pipeline.logs import LogLimit


def test_a_period_takes_so_many_lines_and_no_more() -> None:
    limit = LogLimit(max_lines=10, period_s=1.0)

    assert limit.allowed(7, now_s=0.0) == 7
    assert limit.allowed(7, now_s=0.9) == 3
    assert limit.allowed(7, now_s=0.95) == 0


def test_the_next_period_takes_them_again() -> None:
    limit = LogLimit(max_lines=10, period_s=1.0)
    limit.allowed(100, now_s=0.0)

    assert limit.allowed(100, now_s=1.0) == 10
