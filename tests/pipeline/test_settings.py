"""What settings must hold to, beyond the type of each."""

import pytest
from pydantic import ValidationError

from pipeline.configure import read_settings
from pipeline.errors import InputError
from pipeline.settings import IncidentSettings, Settings, TracesSettings, parse_trigger
from pipeline.settings_kafka import KafkaSettings
from pipeline.trigger import IncidentRule

CALIBRATED = IncidentRule(n_over=3, n_last=5, n_recovery=10)


@pytest.mark.parametrize(
    ("trigger", "expected"), [("3/5", (3, 5)), ("1/1", (1, 1)), ("64/64", (64, 64))]
)
def test_a_trigger_is_k_of_n(trigger: str, expected: tuple[int, int]) -> None:
    assert parse_trigger(trigger) == expected


@pytest.mark.parametrize("trigger", ["", "3", "3/", "/5", "3/5/7", "-1/5", "a/b", "3 of 5"])
def test_what_is_not_k_of_n_is_refused(trigger: str) -> None:
    with pytest.raises(ValueError, match="expected k/n, for example 3/5"):
        parse_trigger(trigger)


@pytest.mark.parametrize("trigger", ["0/5", "6/5", "1/65"])
def test_a_trigger_that_can_never_be_met_or_remembered_is_refused(trigger: str) -> None:
    with pytest.raises(ValueError, match="1 <= k <= n <= 64"):
        parse_trigger(trigger)


def test_without_settings_incidents_go_by_the_calibrated_rule() -> None:
    assert IncidentSettings().rule(CALIBRATED) == CALIBRATED


def test_what_is_set_overrides_its_part_of_the_rule() -> None:
    assert IncidentSettings(trigger="2/3").rule(CALIBRATED) == IncidentRule(2, 3, 10)
    assert IncidentSettings(recovery=1).rule(CALIBRATED) == IncidentRule(3, 5, 1)


@pytest.mark.parametrize(
    "endpoint", ["http://collector:4318", "https://c.example/otlp/v1/traces", ""]
)
def test_a_collector_is_a_url_maybe_with_a_path(endpoint: str) -> None:
    assert TracesSettings(endpoint=endpoint).endpoint == endpoint


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:9/v1/traces?token=hunter2",
        "http://127.0.0.1:9?token=hunter2",
        "http://127.0.0.1:9/v1/traces#hunter2",
        "http://127.0.0.1:9#hunter2",
        "http://alice:hunter2@127.0.0.1:9",
        "hunter2",
        "http://127.0.0.1:9/hunter2\n",
    ],
)
def test_one_that_may_hold_a_secret_is_refused_with_a_line_that_says_where_it_belongs(
    endpoint: str,
) -> None:
    given = {"detector": "/d", "traces.endpoint": endpoint}
    with pytest.raises(InputError, match="OTEL_EXPORTER_OTLP_HEADERS") as refused:
        read_settings(Settings, given)

    assert str(refused.value).startswith("PIPELINE_TRACES__ENDPOINT: ")
    assert "hunter2" not in str(refused.value)


def test_an_empty_override_is_none() -> None:
    empty = IncidentSettings.model_validate({"trigger": "", "recovery": ""})

    assert empty.rule(CALIBRATED) == CALIBRATED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("poll.timeout_s", 5.0),
        ("kafka.max_poll_interval_s", 1.0),
        ("kafka.bootstrap_servers", "kafka:x"),
        ("decode.max_ahead_s", "inf"),
    ],
)
def test_a_value_with_which_it_could_not_work_is_refused(name: str, value: object) -> None:
    variable = "PIPELINE_" + name.upper().replace(".", "__")

    with pytest.raises(InputError, match=variable):
        read_settings(Settings, {"detector": "/d", name: value})


def test_settings_do_not_change() -> None:
    settings = read_settings(Settings, {"detector": "/d"})

    with pytest.raises(ValidationError, match="frozen"):
        settings.device = "cpu"


@pytest.mark.parametrize("name", ["readings_topic", "alerts_topic", "dead_letters_topic"])
def test_virtual_sensors_have_a_topic_of_their_own(name: str) -> None:
    topics = {"expected_topic": "t", name: "t"}

    with pytest.raises(ValidationError, match=f"own, got 't', which is.*{name.upper()}"):
        KafkaSettings(**topics)  # type: ignore[arg-type]
