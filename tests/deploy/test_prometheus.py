"""A real Prometheus scrapes a real worker on the demo's readings: nothing is empty."""

import itertools
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.reading import messages
from pipeline.records import Message
from pipeline.table import read_table
from pipeline.transport.kafka_python import KafkaPythonProducer
from tests.deploy.files import (
    ALERTMANAGER,
    PROMETHEUS,
    ROOT,
    RULES,
    RULES_DAYS_TEST,
    RULES_TEST,
    alerts,
    annotations,
    queries,
    recordings,
)
from tests.deploy.prometheus import Prometheus, values
from tests.deploy.promql import as_grafana_sends, compared
from tests.processes import WorkerProcess, command
from tests.support import make_topic, unique_name

DATA = ROOT / "pipeline" / "demo" / "data"
BEFORE, EACH = 3_000, 20
"""Readings that are sent at once, and with each look at what is still empty."""
DEADLINE_S = 60.0
"""Far beyond what it takes: what is empty then stays empty."""
N_PARTITIONS = 2

ASKED = {
    **{f"panel {name}": query["expr"] for name, query in queries()},
    **{f"annotation {name}": one["expr"] for name, one in annotations()},
    **{f"recorded {name}": name for name in recordings()},
    **{
        f"alert {name}: {side}": side
        for name, alert in alerts().items()
        for side in compared(alert["expr"])
    },
}
"""Whatever must have data, by what it is for."""


def train(out: Path, seed: int) -> None:
    history = str(DATA / "history.parquet")
    quick = ["--model", "ae", "--set", "steps=30", "--set", "folds=2", "--seed", str(seed)]
    done = command("trainer", "fit", history, "--out", str(out), *quick, timeout_s=300.0)
    assert done.returncode == 0, done.stderr


def stream(topic: str, folder: Path) -> Iterator[Message]:
    """The demo's readings, of which the last is of now, and a few that are none."""
    table = pq.read_table(DATA / "stream.parquet")
    ago = time.time() - table["time"][-1].as_py().timestamp()
    later = pa.compute.add(table["time"], pa.scalar(int(ago), pa.duration("s")))
    shifted = folder / "shifted.parquet"
    at = table.schema.get_field_index("time")
    pq.write_table(table.set_column(at, "time", later), shifted)
    readings = read_table(shifted)
    for number, message in enumerate(messages(readings, topic, 0, len(readings))):
        yield message
        if number % 100 == 0:
            yield Message(topic, b"no reading", b"server")


@pytest.fixture(scope="module")
def prometheus(
    kafka_bootstrap_servers: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Prometheus]:
    """One that has scraped a worker at work until all of `ASKED` has data, or for long."""
    folder = tmp_path_factory.mktemp("prometheus")
    detector, shadow = folder / "detectors" / "demo", folder / "detectors" / "shadow"
    with ThreadPoolExecutor() as pool:
        list(pool.map(train, (detector, shadow), (0, 1)))
    topic = make_topic(kafka_bootstrap_servers, N_PARTITIONS)
    settings = {
        "PIPELINE_DETECTOR": str(detector),
        "PIPELINE_SHADOW": str(shadow),
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": kafka_bootstrap_servers,
        "PIPELINE_KAFKA__GROUP_ID": unique_name("workers"),
        "PIPELINE_KAFKA__READINGS_TOPIC": topic,
        "PIPELINE_KAFKA__ALERTS_TOPIC": make_topic(kafka_bootstrap_servers, 1),
        "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC": make_topic(kafka_bootstrap_servers, 1),
    }
    with ExitStack() as stack:
        worker = stack.enter_context(WorkerProcess(settings, folder / "worker.log"))
        worker.wait_until_ready()
        running = stack.enter_context(Prometheus(worker.port, folder))
        running.wait_until_ready()
        producer = KafkaPythonProducer(bootstrap_servers=kafka_bootstrap_servers)
        stack.callback(producer.close, 5.0)
        sent = stream(topic, folder)
        producer.send(list(itertools.islice(sent, BEFORE)))
        empty = dict(ASKED)
        give_up_s = time.monotonic() + DEADLINE_S
        while empty and time.monotonic() < give_up_s:
            producer.send(list(itertools.islice(sent, EACH)))
            empty = {
                what: expression
                for what, expression in empty.items()
                if not values(running.query(as_grafana_sends(expression)))
            }
        yield running


@pytest.mark.parametrize("what", ASKED)
def test_it_has_data(prometheus: Prometheus, what: str) -> None:
    assert values(prometheus.query(as_grafana_sends(ASKED[what])))


def test_every_rule_can_be_evaluated(prometheus: Prometheus) -> None:
    rules = prometheus.rules()

    assert rules.keys() == recordings().keys() | alerts().keys()
    assert {rule["health"] for rule in rules.values()} == {"ok"}


def test_a_healthy_worker_alarms_nobody_at_night(prometheus: Prometheus) -> None:
    state = {
        name: rule["state"] for name, rule in prometheus.rules().items() if "state" in rule
    }

    assert "firing" not in {
        state[name]
        for name, alert in alerts().items()
        if alert["labels"]["severity"] == "critical"
    }


@pytest.mark.parametrize(
    "line",
    [
        ["promtool", "check", "config", PROMETHEUS],
        ["promtool", "check", "rules", RULES],
        ["promtool", "test", "rules", RULES_TEST],
        ["promtool", "test", "rules", RULES_DAYS_TEST],
        ["amtool", "check-config", ALERTMANAGER],
    ],
    ids=lambda line: " ".join([*line[:2], Path(line[-1]).name]),
)
def test_its_own_tools_find_nothing_wrong(line: list[str | Path]) -> None:
    done = subprocess.run(line, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
