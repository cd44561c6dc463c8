"""`pipeline run` on a real Kafka while the detector in its folder is replaced."""

import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from pipeline.alert import decode
from pipeline.detector import artifact
from pipeline.detector.files import WEIGHTS
from tests import builders
from tests.pipeline.test_run import (
    FAULT,
    N_PARTITIONS,
    N_READINGS,
    WINDOW,
    readings,
    received,
    send,
)
from tests.processes import WorkerProcess
from tests.support import unique_name, wait_until

UNITS = [f"pump-{i}" for i in range(6)]
IN_THE_FAULT = FAULT.start + 15


def save(folder: Path, window: int, seed: int) -> str:
    """Write a detector of these windows; its digest."""
    detector = builders.quiet_detector(N_READINGS, window, seed)
    manifest = msgspec.structs.replace(builders.manifest(detector), name=folder.name)
    golden_NF, reference_BTF = builders.GOLDEN_NF, builders.REFERENCE_BTF
    reference_BTF = reference_BTF[:, :window]
    return artifact.save(folder, detector, golden_NF, reference_BTF, manifest).digest


def switch(registry: Path, name: str) -> None:
    link = registry / ".new"
    link.symlink_to(name)
    link.replace(registry / "current")


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    save(tmp_path / "old", WINDOW, seed=0)
    switch(tmp_path, "old")
    return tmp_path


@pytest.fixture(params=["kafka-python", "confluent"])
def settings(
    request: pytest.FixtureRequest,
    registry: Path,
    kafka_bootstrap_servers: str,
    make_topic: Callable[[int], str],
) -> dict[str, str]:
    return {
        "PIPELINE_DETECTOR": str(registry / "current"),
        "PIPELINE_RELOAD_EVERY_S": "0.2",
        "PIPELINE_KAFKA__CLIENT": request.param,
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "PIPELINE_KAFKA__GROUP_ID": unique_name("workers"),
        "PIPELINE_KAFKA__READINGS_TOPIC": make_topic(N_PARTITIONS),
        "PIPELINE_KAFKA__ALERTS_TOPIC": make_topic(1),
        "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC": make_topic(1),
    }


@pytest.mark.parametrize("window", [WINDOW, 2 * WINDOW])
def test_another_detector_is_taken_while_incidents_are_open_and_nothing_is_lost(
    registry: Path, settings: dict[str, str], tmp_path: Path, window: int
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    before = [m for unit in UNITS for m in readings(topic, unit, last=IN_THE_FAULT)]
    after = [m for unit in UNITS for m in readings(topic, unit, first=IN_THE_FAULT)]
    digest = save(registry / "new", window, seed=1)

    with WorkerProcess(settings, tmp_path / "log") as worker:
        send(settings, before)
        worker.wait_until_ready()
        worker.wait_until_read(len(before))
        switch(registry, "new")
        wait_until(lambda: digest in worker.get("/metrics")[1], "the new one is in use")
        send(settings, after)
        worker.wait_until_read(len(before) + len(after))
        wait_until(lambda: worker.metric("pipeline_incidents_open") == 0, "all are over")
        n_alerts = int(worker.metric("pipeline_alerts_sent_total"))
        n_replayed = worker.metric("pipeline_readings_replayed_total")
        told = received(settings, "PIPELINE_KAFKA__ALERTS_TOPIC", n_alerts)

    alerts = [decode(record.value or b"") for record in told]
    of_state = {
        state: {a.unit: a.incident_id for a in alerts if a.state == state}
        for state in ("opened", "closed")
    }
    assert of_state["opened"] == of_state["closed"]
    assert of_state["opened"].keys() == set(UNITS)
    by_digest = {a.state: a.detector.digest for a in alerts}
    assert by_digest["opened"] != by_digest["closed"] == digest
    assert (n_replayed > 0) == (window != WINDOW)


def test_a_damaged_detector_is_refused_and_the_old_one_goes_on(
    registry: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    shutil.copytree(registry / "old", registry / "damaged")
    with (registry / "damaged" / WEIGHTS).open("ab") as file:
        file.write(b"\0")

    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        switch(registry, "damaged")
        wait_until(lambda: worker.metric("pipeline_detector_refused") == 1, "it is refused")
        sent = [m for unit in UNITS for m in readings(topic, unit)]
        send(settings, sent)
        worker.wait_until_read(len(sent))
        n_opened = worker.metric("pipeline_incidents_opened_total")
        switch(registry, "old")
        wait_until(lambda: worker.metric("pipeline_detector_refused") == 0, "it is mended")

    assert n_opened == len(UNITS)
    assert "detector_refused" in (tmp_path / "log").read_text()


def test_a_second_detector_scores_alongside(
    registry: Path, settings: dict[str, str], tmp_path: Path
) -> None:
    topic = settings["PIPELINE_KAFKA__READINGS_TOPIC"]
    digest = save(registry / "candidate", 2 * WINDOW, seed=1)
    settings |= {"PIPELINE_SHADOW": str(registry / "candidate")}

    with WorkerProcess(settings, tmp_path / "log") as worker:
        worker.wait_until_ready()
        sent = [m for unit in UNITS for m in readings(topic, unit)]
        send(settings, sent)
        worker.wait_until_read(len(sent))
        _, page = worker.get("/metrics")
        n_compared = worker.metric("pipeline_incidents_compared_total")
        n_opened = worker.metric("pipeline_incidents_opened_total")

    assert f'pipeline_shadow_info{{digest="{digest}"' in page
    assert n_opened == n_compared == len(UNITS)
