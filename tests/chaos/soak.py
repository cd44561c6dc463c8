"""`python -m tests.chaos.soak --minutes M`: does a worker stay as large as it is?"""

import json
import os
import re
import statistics
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import typer

from pipeline.kafka_listeners import PLAINTEXT
from pipeline.kafka_server import LocalKafka
from pipeline.logs import configure_logs
from tests.chaos import topics
from tests.chaos.run import N_PARTITIONS, Way, make_detector, worker_settings
from tests.chaos.stream import Stream
from tests.processes import WorkerProcess

SAMPLE_EVERY_S = 5.0
MAX_GROWTH = 1.03
"""Of memory, from the second quarter of the time to the last one."""
WAYS = [Way("kafka-python", "at_least_once"), Way("confluent", "exactly_once")]


class Sample(NamedTuple):
    """One process at one time."""

    resident_bytes: int
    n_files: int
    n_threads: int


def main(
    minutes: Annotated[float, typer.Option(help="Of steady load.")] = 30.0,
    rate: Annotated[float, typer.Option(help="Records a second.")] = 1_000.0,
) -> None:
    """Run a worker of each kind side by side; print how large they were."""
    configure_logs("error", "text")
    with (
        TemporaryDirectory() as folder,
        LocalKafka(n_partitions=N_PARTITIONS) as kafka,
    ):
        samples, n_sent, n_read = soak(kafka, Path(folder), minutes * 60.0, rate)
    grown = [line for way in WAYS for line in growth(way, samples[way])]
    grown += [f"{way} read {n} of {n_sent}" for way, n in n_read.items() if n != n_sent]
    for way in WAYS:
        quarters = [_medians(samples[way], number)._asdict() for number in range(4)]
        print(json.dumps({**way._asdict(), "records": n_sent, "medians": quarters}))
    print("\n".join(grown) or "flat")
    raise typer.Exit(1 if grown else 0)


def soak(
    kafka: LocalKafka, folder: Path, seconds: float, rate: float
) -> tuple[dict[Way, list[Sample]], int, dict[Way, int]]:
    """What was sampled of each worker, and the readings sent and read."""
    detector = make_detector(folder, seed=0)
    servers = kafka.servers(PLAINTEXT)
    topics.create(servers, "readings", N_PARTITIONS)
    records = Stream(0).records()
    samples: dict[Way, list[Sample]] = {way: [] for way in WAYS}
    workers: dict[Way, WorkerProcess] = {}
    for way in WAYS:
        given = {
            **worker_settings(detector, servers, way),
            "PIPELINE_KAFKA__GROUP_ID": way.client,
            "PIPELINE_KAFKA__ALERTS_TOPIC": f"alerts.{way.client}",
            "PIPELINE_KAFKA__DEAD_LETTERS_TOPIC": f"dead.{way.client}",
        }
        workers[way] = WorkerProcess(given, folder / f"{way.client}.log")
    try:
        for worker in workers.values():
            worker.wait_until_ready()
        n_records, n_readings = 0, 0
        began_s = sampled_s = time.monotonic()
        with topics.Writer(servers) as writer:
            while (now_s := time.monotonic()) < began_s + seconds:
                while n_records < (now_s - began_s) * rate:
                    sent = next(records)
                    writer.write("readings", sent.key, sent.value)
                    n_records += 1
                    n_readings += sent.n_readings
                if now_s >= sampled_s + SAMPLE_EVERY_S:
                    sampled_s = now_s
                    for way, worker in workers.items():
                        samples[way].append(_sample(worker.process.pid))
                time.sleep(0.02)
            writer.flush()
        for worker in workers.values():
            worker.wait_until_read(n_readings)
        n_read = {
            way: int(worker.metric("pipeline_readings_total"))
            for way, worker in workers.items()
        }
    finally:
        for worker in workers.values():
            worker.__exit__()
    return samples, n_readings, n_read


def growth(way: Way, samples: Sequence[Sample]) -> list[str]:
    """In what this worker has grown."""
    early, late = _medians(samples, 1), _medians(samples, 3)
    found = []
    if late.resident_bytes > MAX_GROWTH * early.resident_bytes:
        found.append(
            f"{way}: {early.resident_bytes:,} bytes became {late.resident_bytes:,}"
        )
    if late.n_files > early.n_files:
        found.append(f"{way}: {early.n_files} open files became {late.n_files}")
    if late.n_threads > early.n_threads:
        found.append(f"{way}: {early.n_threads} threads became {late.n_threads}")
    return found


def _medians(samples: Sequence[Sample], quarter: int) -> Sample:
    n = len(samples) // 4
    part = samples[quarter * n : (quarter + 1) * n]
    return Sample(*(statistics.median_low(column) for column in zip(*part, strict=True)))


def _sample(pid: int) -> Sample:
    status = Path(f"/proc/{pid}/status").read_text()
    n_kib, n_threads = (
        int(match[1])
        for name in ("VmRSS", "Threads")
        if (match := re.search(rf"^{name}:\s+(\d+)", status, re.M))
    )
    return Sample(1024 * n_kib, len(os.listdir(f"/proc/{pid}/fd")), n_threads)


if __name__ == "__main__":
    typer.run(main)
