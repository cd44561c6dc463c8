"""From the append of the reading that opens an incident to its alert in a consumer's hand.

Beside it the same way without a worker: from a reading's append to an ordinary consumer of
the readings. The broker stamps readings as it appends them, in milliseconds.
"""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from uuid import uuid4

import msgspec
import numpy as np
from kafka import KafkaConsumer, TopicPartition

from tests.bench import child, paced, stream, topics, worker
from tests.bench.protocol import Goal, Line, in_turn
from tests.bench.site import AE, Site
from tests.processes import WorkerProcess

PER_S = 5_000
FAULTS_FROM_S = 4.0
"""After the first 32 readings of each unit, and once torch and the broker are warm."""
FAULTY_FOR_S = 8.0
BARE_FOR_S = 0.0
"""Readings without faults will do: all of them are looked for."""
LISTENED_EVERY = 20
"""Of the readings, which a consumer with nothing else to do takes all of."""
MAX_BEHIND_S = 0.25
"""What the producer may be late by at any moment: a stall of a machine that others use too.
One that cannot keep the pace falls behind by seconds."""
GOALS_MS = {50: 25.0, 99: 100.0}
Latencies = list[float]


class Measured(NamedTuple):
    """One repetition of one side."""

    latencies: Latencies
    """Milliseconds, of all that was to come."""
    most_behind_s: float
    """How late the producer ever was."""
    n_false_alarms: int = 0
    """Incidents of readings without a fault. Their latencies count like all others."""


def run(site: Site) -> list[Line]:
    """Median and 99th percentile; the repetitions together see over 200 incidents."""
    site.detector(AE)
    ours: list[Latencies] = []
    theirs: list[Latencies] = []
    both: list[Measured] = []

    def note(into: list[Latencies], measure: Callable[[Site], Measured]) -> float:
        measured = measure(site)
        into.append(measured.latencies)
        both.append(measured)
        return 0.0

    in_turn(site.n_repeats, lambda: note(ours, _alerts), lambda: note(theirs, _bare))
    detail = {
        "n_incidents": sum(map(len, ours)),
        "n_false_alarms": sum(measured.n_false_alarms for measured in both),
        "most_behind_s": max(measured.most_behind_s for measured in both),
    }
    return [
        Line(
            name=f"latency p{share}",
            unit="ms",
            ours=[float(np.percentile(each, share)) for each in ours],
            theirs=[float(np.percentile(each, share)) for each in theirs],
            against="a reading to a consumer",
            goals=(Goal("ours", "<=", goal_ms),),
            detail=detail,
        )
        for share, goal_ms in GOALS_MS.items()
    ]


def _alerts(site: Site) -> Measured:
    """From append to alert, of each incident.

    Raises:
        RuntimeError: a fault has not opened one incident.
    """
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
            produced = _produce(site, topic, FAULTY_FOR_S)
            running.wait_until_read(produced["n_sent"])
            # Once it has ended by itself all alerts are out.
            exit_code = running.stop()
    if exit_code != 0:
        raise RuntimeError(f"the worker ended with {exit_code}: {log.read_text()[-2_000:]}")
    opened: dict[tuple[int, int], float] = {}
    for _, _, _, seen_ms, value in rows:
        alert = msgspec.json.decode(str(value))
        if alert["state"] == "opened":
            source = alert["source"]
            opened[source["partition"], source["last_offset"]] = float(str(seen_ms))
    n_false_alarms = _false_alarms(list(opened), produced["faults"])
    appended_ms = _append_times(site, topic)
    latencies = [seen_ms - appended_ms[at] for at, seen_ms in opened.items()]
    return Measured(latencies, produced["most_behind_s"], n_false_alarms)


def _false_alarms(opened: list[tuple[int, int]], faults: list[list[int]]) -> int:
    """How many incidents are of no fault.

    Args:
        opened: partition and offset of the reading that opened each incident.
        faults: the first step of each, and its unit.

    Raises:
        RuntimeError: a fault has not opened one incident.
    """
    n_opened_at = Counter(opened)
    n_in_turn = stream.N_UNITS // stream.N_PARTITIONS
    for step, unit in faults:
        place, partition = divmod(unit, stream.N_PARTITIONS)
        steps = range(step, step + paced.FAULT_LENGTH)
        n_opened = sum(n_opened_at[partition, n_in_turn * s + place] for s in steps)
        if n_opened != 1:
            raise RuntimeError(
                f"the fault of unit {unit} at step {step} opened {n_opened} incidents; "
                f"there are {len(faults)} faults and {len(opened)} incidents"
            )
    return len(opened) - len(faults)


def _bare(site: Site) -> Measured:
    """From append to consumer, of readings.

    Raises:
        RuntimeError: some have not come.
    """
    topic = _new_topic(site)
    rows: list[list[object]] = []
    with _listening(site, topic, LISTENED_EVERY, rows):
        produced = _produce(site, topic, BARE_FOR_S)
    if len(rows) < produced["n_sent"] // LISTENED_EVERY:
        raise RuntimeError(f"of {produced['n_sent']} readings only {len(rows)} were seen")
    latencies = [float(str(seen)) - float(str(stamp)) for _, _, stamp, seen, _ in rows]
    return Measured(latencies, produced["most_behind_s"])


def _new_topic(site: Site) -> str:
    topic = f"paced-{uuid4().hex}"
    stamped = {"message.timestamp.type": "LogAppendTime"}
    topics.create(site.servers, topic, stamped)
    return topic


def _produce(site: Site, topic: str, faulty_for_s: float) -> dict[str, Any]:
    """Send readings at the pace, and tell how many there were and how many faults.

    Raises:
        RuntimeError: it could not keep the pace.
    """
    produced = child.run(
        "paced",
        servers=site.servers,
        topic=topic,
        per_s=PER_S,
        for_s=FAULTS_FROM_S + faulty_for_s * min(1.0, site.scale),
        faults_from_s=FAULTS_FROM_S,
    )
    if produced["most_behind_s"] > MAX_BEHIND_S:
        raise RuntimeError(
            f"the producer was {produced['most_behind_s']:.3f} s behind its pace of "
            f"{PER_S:,} readings/s; at most {MAX_BEHIND_S} s are allowed"
        )
    return produced


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
