"""From the append of the reading that opens an incident to its alert in a consumer's hand.

Beside it the same way without a worker: from a reading's append to an ordinary consumer of
the readings. The broker stamps readings as it appends them, in milliseconds.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition

from tests.bench import child, topics, worker
from tests.bench.protocol import Goal, Line, in_turn
from tests.bench.site import AE, Site
from tests.processes import WorkerProcess

PER_S = 5_000
FOR_S = 12.0
BARE_FOR_S = 4.0
FAULTS_FROM_S = 4.0
"""After the first 32 readings of each unit, and once torch and the broker are warm."""
LISTENED_EVERY = 20
"""Of the readings, which a consumer with nothing else to do takes all of."""
GOALS_MS = {50: 25.0, 99: 100.0}
Latencies = list[float]


def run(site: Site) -> list[Line]:
    """Median and 99th percentile; the repetitions together see over 200 incidents."""
    site.detector(AE)
    ours: list[Latencies] = []
    theirs: list[Latencies] = []

    def note(into: list[Latencies], measured: Callable[[Site], Latencies]) -> float:
        into.append(measured(site))
        return 0.0

    in_turn(site.n_repeats, lambda: note(ours, _alerts), lambda: note(theirs, _bare))
    n_incidents = sum(map(len, ours))
    return [
        Line(
            name=f"latency p{share}",
            unit="ms",
            ours=[float(np.percentile(each, share)) for each in ours],
            theirs=[float(np.percentile(each, share)) for each in theirs],
            against="a reading to a consumer",
            goals=(Goal("ours", "<=", goal_ms),),
            detail={"n_incidents": n_incidents},
        )
        for share, goal_ms in GOALS_MS.items()
    ]


def _alerts(site: Site) -> Latencies:
    """Milliseconds from append to alert, of each incident."""
    topic, alerts = _new_topic(site), f"alerts-{uuid4().hex}"
    topics.create(site.servers, alerts)
    given = {
        **worker.settings(site.servers, site.detector(AE), topic),
        "PIPELINE_KAFKA__ALERTS_TOPIC": alerts,
    }
    log = site.folder / f"latency-{uuid4().hex}.log"
    rows: list[list[object]] = []
    with WorkerProcess(given, log) as running:
        running.wait_until_ready()
        with _listening(site, alerts, 1, rows):
            _produce(site, topic, FOR_S)
            running.stop()
    opened = {}
    for _, _, _, seen_ms, value in rows:
        alert = msgspec.json.decode(str(value))
        if alert["state"] == "opened":
            source = alert["source"]
            opened[source["partition"], source["last_offset"]] = float(str(seen_ms))
    appended_ms = _append_times(site, topic)
    return [seen_ms - appended_ms[at] for at, seen_ms in opened.items()]


def _bare(site: Site) -> Latencies:
    """Milliseconds from append to consumer, of readings."""
    topic = _new_topic(site)
    rows: list[list[object]] = []
    with _listening(site, topic, LISTENED_EVERY, rows):
        _produce(site, topic, BARE_FOR_S)
    return [float(str(seen)) - float(str(stamp)) for _, _, stamp, seen, _ in rows]


def _new_topic(site: Site) -> str:
    topic = f"paced-{uuid4().hex}"
    stamped = {"message.timestamp.type": "LogAppendTime"}
    topics.create(site.servers, topic, stamped)
    return topic


def _produce(site: Site, topic: str, for_s: float) -> None:
    child.run(
        "paced",
        servers=site.servers,
        topic=topic,
        per_s=PER_S,
        for_s=max(1.0, for_s * min(1.0, site.scale)),
        faults_from_s=FAULTS_FROM_S * min(1.0, site.scale),
    )


@contextmanager
def _listening(
    site: Site, topic: str, every: int, rows: list[list[object]]
) -> Iterator[None]:
    """While this lasts a consumer listens; what it saw is in `rows` afterwards."""
    options = ("--servers", site.servers, "--topic", topic, "--every", str(every))
    listener = subprocess.Popen(
        [sys.executable, "-m", "tests.bench.listener", *options],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert listener.stdout is not None
        assert listener.stdout.readline() == "ready\n"
        yield
        seen, _ = listener.communicate(timeout=30.0)
        rows += json.loads(seen)
    finally:
        listener.kill()
        listener.wait()


def _append_times(site: Site, topic: str) -> dict[tuple[int, int], int]:
    """Milliseconds since the epoch, of each record's partition and offset."""
    consumer = KafkaConsumer(
        bootstrap_servers=site.servers,
        enable_auto_commit=False,
        auto_offset_reset="earliest",
    )
    try:
        numbers = consumer.partitions_for_topic(topic) or set()
        partitions = [TopicPartition(topic, number) for number in sorted(numbers)]
        n_left = sum(consumer.end_offsets(partitions).values())
        consumer.assign(partitions)
        times_ms: dict[tuple[int, int], int] = {}
        while len(times_ms) < n_left:
            for records in consumer.poll(timeout_ms=250, max_records=10_000).values():
                times_ms |= {(r.partition, r.offset): r.timestamp for r in records}
        return times_ms
    finally:
        consumer.close()
