"""What alerts come to."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.follow import incidents as module
from pipeline.follow.incidents import MAX_RECENT, MAX_SCORES, Incidents, Wanted
from tests.alerts import BEGIN_S, alert_json, course


def after(values: list[bytes | None], wanted: Wanted | None = None) -> Incidents:
    incidents = Incidents(wanted or Wanted())
    for value in values:
        incidents.take(value)
    return incidents


def test_an_incident_is_open_until_it_is_closed() -> None:
    begun, updated, ended = course(1)

    incidents = after([begun, updated])
    (incident,) = incidents.worst(10)
    assert (incident.unit, incident.state, incident.severity, incident.peak_score) == (
        "pump-7",
        "updated",
        "critical",
        2.5,
    )
    assert (incident.opened_s, incident.newest_s) == (BEGIN_S, BEGIN_S + 10)
    assert list(incident.scores) == [1.5, 2.5]

    incidents.take(ended)
    assert incidents.n_open == 0
    assert [each.state for each in incidents.recent] == ["closed"]
    assert (incidents.totals.n_seen, incidents.totals.n_closed) == (1, 1)


def test_one_that_opened_before_the_reading_began_is_shown_all_the_same() -> None:
    incidents = after([alert_json(1, "updated", 10.0, 2.5)])

    assert [each.opened_s for each in incidents.worst(10)] == [BEGIN_S]
    assert incidents.totals.n_seen == 1


def test_one_that_opened_as_a_warning_is_counted_when_it_is_critical() -> None:
    critical = after([*course(1)[:-1], *course(2)], Wanted(severity="critical"))

    assert (critical.n_open, critical.totals.n_seen, critical.totals.n_closed) == (1, 2, 1)


@given(st.data())
def test_repeats_change_nothing(data: st.DataObject) -> None:
    alerts = [value for number in range(3) for value in course(number, n_updates=3)][:-2]
    repeated: list[bytes | None] = []
    for n in range(1, len(alerts) + 1):
        repeated.append(alerts[n - 1])
        # As after a crash: from some alert on, all again.
        repeated += alerts[data.draw(st.integers(0, n)) : n]

    once, again = after(list(alerts)), after(repeated)

    assert again.worst(10) == once.worst(10)
    assert again.recent == once.recent
    assert again.totals.n_repeats == len(repeated) - len(alerts)


def test_critical_ones_come_first_and_then_the_newest() -> None:
    incidents = after(
        [
            alert_json(1, unit="old", opened_at="2026-11-01T00:00:00Z"),
            alert_json(2, unit="new", opened_at="2026-11-02T00:00:00Z"),
            alert_json(3, unit="bad", score=2.5, opened_at="2026-10-01T00:00:00Z"),
        ]
    )

    assert [each.unit for each in incidents.worst(10)] == ["bad", "new", "old"]
    assert [each.unit for each in incidents.worst(1)] == ["bad"]


@pytest.mark.parametrize(
    ("wanted", "units"),
    [
        (Wanted(units=("pump-1",)), {"pump-1"}),
        (Wanted(units=("pump-*",)), {"pump-1", "pump-2"}),
        (Wanted(units=("fan", "pump-2")), {"fan", "pump-2"}),
        (Wanted(severity="critical"), {"fan"}),
    ],
)
def test_only_what_is_wanted_is_taken(wanted: Wanted, units: set[str]) -> None:
    alerts: list[bytes | None] = [
        alert_json(1, unit="pump-1"),
        alert_json(2, unit="pump-2"),
        alert_json(3, unit="fan", score=2.5),
    ]

    assert {each.unit for each in after(alerts, wanted).worst(10)} == units


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff\x1b[2J",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        alert_json(schema="alert/2"),
        alert_json(incident_id="../../etc"),
        alert_json(time="yesterday"),
        alert_json(opened_at="0001-01-01T00:00:00+23:59"),
        alert_json(time="9999-12-31T23:59:59-23:59"),
        alert_json(note="x" * 70_000),
        alert_json().replace(b"1.5", b"1e999"),
        alert_json().replace(b"1.5", b"NaN"),
    ],
)
def test_what_is_no_alert_is_counted_and_left_out(value: bytes | None) -> None:
    incidents = after([value])

    assert (incidents.n_open, incidents.totals.n_malformed) == (0, 1)


def test_fields_of_later_versions_are_no_reason_to_refuse_it() -> None:
    assert after([alert_json(site="north")]).n_open == 1


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_CLOSED", 5)
    incidents = Incidents(Wanted(), max_open=10)

    for number in range(100):
        incidents.take(alert_json(number, unit="x" * 100_0, sensor="y" * 1_000))
    for number in range(10):
        for n in range(100):
            incidents.take(alert_json(number, "updated", n + 1.0))
    for number in range(100, 200):
        for value in course(number):
            incidents.take(value)

    assert (incidents.n_open, incidents.totals.n_beyond) == (10, 190)
    assert incidents.totals.n_seen == 200
    assert len(incidents.recent) == MAX_RECENT
    assert len(incidents._closed) == 5
    for each in incidents.worst(10):
        assert len(each.scores) == MAX_SCORES
        assert len(each.unit) + sum(map(len, each.sensors)) < 200


@given(st.binary(max_size=300))
def test_whatever_the_bytes_are_nothing_is_raised(value: bytes) -> None:
    after([value])
