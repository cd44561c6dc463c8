"""Verdicts find their incidents by the archive of alerts."""

from hypothesis import given
from hypothesis import strategies as st

from tests.trainer.labels.saying import alert, at, verdict
from trainer.labels.lines import Listed
from trainer.labels.verdicts import Archive, Verdicts


def heard(*said: Listed, alerts: tuple[Listed, ...] = (alert(300, 340),)) -> Verdicts:
    archive = Archive()
    archive.add_all(alerts)
    verdicts = Verdicts(archive)
    verdicts.add_all(said)
    return verdicts


def test_a_verdict_is_on_its_incidents_unit_and_time() -> None:
    [judged] = heard(verdict(300, "true")).judged()

    assert judged.verdict == "true"
    assert judged.span == ("pump-7", at(300), at(340))
    assert judged.is_closed


def test_an_open_incident_reaches_to_its_last_alert() -> None:
    [judged] = heard(verdict(300, "true"), alerts=(alert(300, None),)).judged()

    assert (judged.span.end_s, judged.is_closed) == (at(300), False)


def test_of_several_verdicts_on_an_incident_the_latest_counts_in_any_order() -> None:
    said = [verdict(300, "true", hour=8), verdict(300, "expected", hour=9)]

    for order in (said, said[::-1]):
        assert [j.verdict for j in heard(*order).judged()] == ["expected"]


def test_of_two_verdicts_at_one_time_the_one_that_comes_later_counts() -> None:
    [judged] = heard(verdict(300, "true"), verdict(300, "false")).judged()

    assert judged.verdict == "false"


def test_what_cannot_be_used_is_counted_and_told() -> None:
    nonsense = Listed("feedback: line 3", b"{")
    verdicts = heard(
        verdict(300, "true"),
        verdict(299, "true"),
        nonsense,
        alerts=(alert(300, 340), Listed("alerts: line 2", b"")),
    )

    assert len(verdicts.judged()) == 1
    said, unknown, no_feedback, no_alert = verdicts.notes()
    assert said == "verdicts on 1 incidents: 1 true, 0 false, 0 maintenance, 0 expected"
    assert unknown.startswith("1 verdicts left out: no alert has their incident")
    assert no_feedback.startswith("1 lines left out, no feedback records: feedback: line 3")
    assert no_alert.startswith("1 lines left out, no alert records: alerts: line 2")


@given(st.lists(st.binary(max_size=80), max_size=5))
def test_no_record_breaks_the_reading_of_others(values: list[bytes]) -> None:
    noise = [Listed("somewhere", value) for value in values]

    verdicts = heard(*noise, verdict(300, "true"), alerts=(*noise, alert(300, 340)))

    assert len(verdicts.judged()) == 1
