"""Which dead letters were sent back, as it is stored beside an offset."""

import pytest

from pipeline.settled import Settled
from pipeline.transport.base import Committed


def stored(settled: Settled) -> Settled:
    """As the next call reads what this one commits."""
    return Settled.of(Committed(settled.all_before, settled.note()))


def test_of_a_new_group_nothing_is_settled() -> None:
    assert not Settled.of(None).holds(0, "not_json")


def test_a_call_for_one_reason_leaves_the_others() -> None:
    settled = stored(Settled(all_before=3).up_to(10, ["not_json"]))

    assert settled.holds(9, "not_json")
    assert not settled.holds(9, "bad_time")
    assert settled.holds(2, "bad_time")
    assert not settled.holds(10, "not_json")


def test_a_call_for_all_settles_every_reason() -> None:
    settled = stored(Settled(3, {"not_json": 7, "bad_time": 20}).up_to(10, []))

    assert settled.holds(9, "too_large")
    assert settled.holds(19, "bad_time")
    assert settled == Settled(10, {"bad_time": 20})


def test_reading_begins_at_the_first_that_may_not_be_settled() -> None:
    settled = Settled(3, {"not_json": 7, "bad_time": 20})

    assert settled.begin([]) == 3
    assert settled.begin(["not_json"]) == 7
    assert settled.begin(["not_json", "bad_time"]) == 7
    assert settled.begin(["too_large"]) == 3


@pytest.mark.parametrize("note", ["", "text", "[1]", '{"not_json": "x"}', "null", "3"])
def test_a_note_of_another_kind_adds_nothing(note: str) -> None:
    assert Settled.of(Committed(5, note)) == Settled(5)
