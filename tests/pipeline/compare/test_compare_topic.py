"""Two detectors over a stretch of the readings topic, on a real Kafka."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.alert import Alert, decode
from pipeline.compare import topic as topics
from pipeline.compare.run import run
from pipeline.compare.show import json_text
from pipeline.detector.artifact import load
from pipeline.errors import InputError
from pipeline.settings import ReplaySettings
from pipeline.settings_kafka import KafkaSettings
from pipeline.state_size import bytes_per_unit
from pipeline.transport.choose import ClientName, clients
from pipeline.transport.kafka_python import KafkaPythonConsumer
from tests.pipeline.compare.comparing import (
    BEGAN_S,
    N_READINGS,
    UNITS,
    WINDOW_A,
    asked,
    messages,
    table,
)
from tests.processes import WorkerProcess, command
from tests.support import polls, unique_name

N_PARTITIONS = 3
EVERYTHING = "2023-01-01"


@pytest.fixture
def readings_topic(kafka_bootstrap_servers: str, make_topic: Callable[[int], str]) -> str:
    topic = make_topic(N_PARTITIONS)
    producer = clients("kafka-python").producer(bootstrap_servers=kafka_bootstrap_servers)
    try:
        producer.send(messages(topic))
    finally:
        producer.close(5.0)
    return topic


@pytest.fixture(params=["kafka-python", "confluent"])
def settings(
    request: pytest.FixtureRequest, kafka_bootstrap_servers: str, readings_topic: str
) -> ReplaySettings:
    client: ClientName = request.param
    return ReplaySettings(
        device="cpu",
        kafka=KafkaSettings(
            bootstrap_servers=kafka_bootstrap_servers,
            readings_topic=readings_topic,
            client=client,
        ),
    )


def seconds(n: int) -> str:
    """The time of the n-th reading of each unit, as the user writes it."""
    return f"2023-11-14T22:{13 + (20 + n) // 60}:{(20 + n) % 60:02d}Z"


def found(alerts: list[Alert]) -> set[tuple[str, str, str | None]]:
    """Each incident: its id, when it opened and when it closed."""
    closed = {a.incident_id: a.closed_at for a in alerts if a.state == "closed"}
    return {(a.incident_id, a.opened_at, closed.get(a.incident_id)) for a in alerts}


def of_side(said: dict[str, Any], side: str) -> set[tuple[str, str, str | None]]:
    return {
        (each["incident_id"], each["opened_at"], each["closed_at"])
        for episode in said["episodes"]
        for each in episode[side]
    }


def test_incidents_are_those_of_a_worker_on_the_same_topic(
    settings: ReplaySettings,
    wide: Path,
    narrow: Path,
    make_topic: Callable[[int], str],
    tmp_path: Path,
) -> None:
    kafka = settings.kafka
    alerts_topic = make_topic(1)
    worker_settings = {
        "PIPELINE_DETECTOR": str(wide),
        "PIPELINE_DEVICE": "cpu",
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "PIPELINE_KAFKA__GROUP_ID": unique_name("workers"),
        "PIPELINE_KAFKA__READINGS_TOPIC": kafka.readings_topic,
        "PIPELINE_KAFKA__ALERTS_TOPIC": alerts_topic,
        "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC": make_topic(1),
    }
    with WorkerProcess(worker_settings, tmp_path / "worker.log") as worker:
        worker.wait_until_read(len(UNITS) * N_READINGS)
        assert worker.stop() == 0
        n_alerts = sum(
            event["event"] in ("incident_opened", "incident_updated", "incident_closed")
            for event in worker.log_events()
        )
    consumer = KafkaPythonConsumer(
        bootstrap_servers=kafka.bootstrap_servers,
        group_id=unique_name("reader"),
        topic=alerts_topic,
    )
    try:
        polled = polls(consumer, n_alerts)
    finally:
        consumer.close(5.0)
    alerts = [decode(record.value or b"") for each in polled for record in each.records]
    assert n_alerts

    comparison = run(asked(wide, narrow, begin=EVERYTHING), settings)

    assert of_side(json.loads(json_text(comparison)), "a") == found(alerts)


def test_a_topic_and_a_file_of_the_same_readings_compare_alike(
    settings: ReplaySettings, wide: Path, narrow: Path, tmp_path: Path
) -> None:
    data = table(tmp_path / "data.parquet")

    of_topic = json.loads(json_text(run(asked(wide, narrow, begin=EVERYTHING), settings)))
    of_file = json.loads(json_text(run(asked(wide, narrow, data), settings)))

    del of_topic["source"], of_file["source"]
    assert of_topic == of_file


def test_within_a_topic_units_are_warm_from_the_first_reading(
    settings: ReplaySettings, wide: Path, narrow: Path
) -> None:
    whole = run(asked(wide, narrow, begin=EVERYTHING), settings)
    # In the midst of the first incidents, which then are open.
    begin, n_seconds = seconds(160), 110

    part = run(asked(wide, narrow, begin=begin, end=seconds(160 + n_seconds)), settings)

    assert part.first_s == BEGAN_S + 160
    assert part.last_s == BEGAN_S + 160 + n_seconds - 1
    assert part.a.n_scored == part.a.n_readings == n_seconds * len(UNITS)
    assert 0 < part.n_warm_up < 160 * len(UNITS)
    assert of_side(json.loads(json_text(part)), "a") == of_side(
        json.loads(json_text(whole)), "a"
    )


def test_where_warming_up_is_cut_short_it_is_said(
    settings: ReplaySettings,
    wide: Path,
    narrow: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    n_each = WINDOW_A - 2
    monkeypatch.setattr(topics, "MAX_WARM_UP", n_each * N_PARTITIONS)

    part = run(asked(wide, narrow, begin=seconds(160)), settings)

    assert part.n_warm_up <= n_each * N_PARTITIONS
    assert part.a.n_scored < part.a.n_readings
    assert any("Warming up was cut" in note for note in part.notes)


def test_a_limit_is_said_and_holds_for_the_page_too(
    settings: ReplaySettings, wide: Path, narrow: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"

    part = run(asked(wide, narrow, begin=EVERYTHING, limit=700, page=page), settings)

    assert part.a.n_readings == 700
    assert part.notes == ["Only the first 700 records were read (--limit)."]
    assert part.notes[0] in page.read_text()


def test_units_for_which_a_worker_has_no_memory_are_said(
    settings: ReplaySettings, wide: Path, narrow: Path
) -> None:
    settings = settings.model_copy(
        update={"max_state_bytes": 2 * bytes_per_unit(load(wide))}
    )

    comparison = run(asked(wide, narrow, begin=EVERYTHING), settings)

    assert comparison.notes == [
        "A has read 3 units. With that detector a worker keeps 2 at most "
        "(PIPELINE_MAX_STATE_BYTES), and refuses the others."
    ]


def test_a_time_without_records_is_refused(
    settings: ReplaySettings, wide: Path, narrow: Path
) -> None:
    with pytest.raises(InputError, match="there are no records of that time"):
        run(asked(wide, narrow, begin="2022-01-01", end="2022-02-01"), settings)


def test_the_command_reads_the_topic_of_the_settings_and_prints_a_table(
    kafka_bootstrap_servers: str, readings_topic: str, wide: Path, narrow: Path
) -> None:
    given = {
        "kafka.bootstrap_servers": kafka_bootstrap_servers,
        "kafka.readings_topic": readings_topic,
    }
    assignments = [f"--set={name}={value}" for name, value in given.items()]

    done = command(
        *("pipeline", "compare", str(wide), str(narrow), "--from", EVERYTHING),
        *assignments,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert "incidents found by both: " in done.stdout
    assert "by A alone: 1, by B alone: 0" in done.stdout
