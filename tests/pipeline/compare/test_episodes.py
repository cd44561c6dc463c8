"""Incidents of two detectors are the same if they share a moment."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.alert import Alert, DetectorPart, SourcePart
from pipeline.alert_log import Incident
from pipeline.compare.episodes import episodes
from pipeline.events import Span, overlap


def incident(begin_s: float, end_s: float, unit: str = "pump-1") -> Incident:
    alert = Alert(
        "alert/1",
        *("id", "opened", unit, "", "", None, 1.0, 1.0, "warning", []),
        DetectorPart("pumps", "sha256:0"),
        SourcePart("readings", 0, 0, 0),
    )
    return Incident(Span(unit, begin_s, end_s), alert)


@pytest.mark.parametrize(
    ("b", "found_by"),
    [
        (incident(20, 30), ["both"]),  # at the very moment
        (incident(21, 30), ["a", "b"]),
        (incident(5, math.inf), ["both"]),
        (incident(10, 20, unit="pump-2"), ["a", "b"]),
    ],
)
def test_they_are_one_where_they_share_a_moment(b: Incident, found_by: list[str]) -> None:
    found = episodes([incident(10, 20)], [b])

    assert [episode.found_by for episode in found] == found_by


def test_one_long_incident_may_be_two_of_the_other() -> None:
    (episode,) = episodes([incident(0, 100)], [incident(10, 20), incident(30, 40)])

    assert (len(episode.a), len(episode.b)) == (1, 2)
    assert episode.lead_s == -10


spans = st.lists(
    st.tuples(st.integers(0, 50), st.integers(0, 10), st.sampled_from(["u", "v"])),
    max_size=12,
)


@given(spans, spans)
def test_every_incident_is_in_one_episode_and_none_overlaps_another(
    a: list[tuple[int, int, str]], b: list[tuple[int, int, str]]
) -> None:
    sides = [
        [incident(begin, begin + length, unit) for begin, length, unit in side]
        for side in (a, b)
    ]

    found = episodes(*sides)

    for side, incidents in enumerate(sides):
        inside = [i for each in found for i in (each.a, each.b)[side]]
        assert sorted(map(id, inside)) == sorted(map(id, incidents))
    whole = [Span(each.unit, each.begin_s, each.end_s) for each in found]
    for number, one in enumerate(whole):
        assert not any(overlap(one, other) for other in whole[number + 1 :])
