"""When bad records stop the worker."""

import pytest

from pipeline.errors import StreamUnreadable
from pipeline.rejection import RejectionLimit


def limit(max_fraction: float = 0.5) -> RejectionLimit:
    return RejectionLimit(max_fraction, min_records=100, period_s=60.0)


def test_one_bad_record_does_not_stop_the_worker() -> None:
    limit().count(n_seen=1, n_rejected=1, now_s=0.0)  # raises nothing


def test_a_period_of_bad_records_does() -> None:
    with pytest.raises(StreamUnreadable, match="60 of the last 100"):
        limit().count(n_seen=100, n_rejected=60, now_s=0.0)


def test_the_share_itself_is_still_allowed() -> None:
    limit().count(n_seen=100, n_rejected=50, now_s=0.0)  # raises nothing


def test_polls_of_one_period_add_up() -> None:
    counted = limit()
    for now_s in range(9):
        counted.count(n_seen=10, n_rejected=10, now_s=float(now_s))

    with pytest.raises(StreamUnreadable, match="100 of the last 100"):
        counted.count(n_seen=10, n_rejected=10, now_s=59.9)


def test_a_new_period_starts_at_nothing() -> None:
    counted = limit()
    counted.count(n_seen=99, n_rejected=99, now_s=5.0)

    counted.count(n_seen=99, n_rejected=99, now_s=65.0)  # raises nothing


def test_good_records_dilute_bad_ones() -> None:
    counted = limit()
    counted.count(n_seen=900, n_rejected=0, now_s=0.0)

    counted.count(n_seen=100, n_rejected=100, now_s=1.0)  # raises nothing


def test_a_share_of_one_never_stops() -> None:
    limit(max_fraction=1.0).count(n_seen=10_000, n_rejected=10_000, now_s=0.0)


def test_the_message_names_the_setting_that_goes_on_regardless() -> None:
    with pytest.raises(StreamUnreadable, match="PIPELINE_REJECTS__MAX_FRACTION=1"):
        limit().count(n_seen=100, n_rejected=100, now_s=0.0)
