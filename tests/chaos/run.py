"""One chaos run: readings flow, workers and Kafka are disturbed, and then it is calm."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import NamedTuple

from pipeline.kafka_listeners import PROXIED
from pipeline.kafka_server import LocalKafka
from tests.chaos import topics
from tests.chaos.compare import counted, differences, ended
from tests.chaos.fleet import Fleet
from tests.chaos.oracle import ALERTS, DEAD_LETTERS, Told, undisturbed
from tests.chaos.proxy import Proxy
from tests.chaos.stream import Sent, Stream, normal_series
from tests.chaos.trouble import Trouble
from trainer.settings import TrainerSettings
from trainer.train import train

N_PARTITIONS = 6
RECORDS_PER_S = 400.0
FIRST_DISTURBANCE_S = 6.0
DISTURB_EVERY_S = (1.0, 6.0)
SHARE_KAFKA = 0.25
"""Of the disturbances. The others are the workers'."""
CALM_S = 8.0
SETTLED_S = 8.0
"""Longer than a session: by then whoever has gone is missed."""
SETTLE_TIMEOUT_S = 150.0
ASSIGNED = "pipeline_partitions_assigned"
REBALANCES = "pipeline_rebalances_total"


class Way(NamedTuple):
    """How the workers are set up."""

    client: str
    delivery: str

    @staticmethod
    def of(seed: int) -> "Way":
        """Each of the four for one seed in four."""
        return Way(
            ("kafka-python", "confluent")[seed // 2 % 2],
            ("at_least_once", "exactly_once")[seed % 2],
        )


@dataclass
class Outcome:
    """What was done, and every way in which what came of it is wrong."""

    report: dict[str, object]
    differences: list[str] = field(default_factory=list)


def run(
    kafka: LocalKafka, proxy: Proxy, seed: int, seconds: float, folder: Path, way: Way
) -> Outcome:
    """Disturb for so long, and compare with a worker that was left alone."""
    folder.mkdir(parents=True, exist_ok=True)
    chance = Random(seed)
    detector = make_detector(folder, seed)
    servers = kafka.bootstrap_servers
    proxy.forward_to(int(kafka.servers(PROXIED).rpartition(":")[2]))
    for topic in ("readings", ALERTS, DEAD_LETTERS):
        topics.create(servers, topic, N_PARTITIONS)
    stream = Stream(seed)
    records = stream.records()
    settings = worker_settings(detector, f"127.0.0.1:{proxy.port}", way)
    trouble = Trouble(kafka, proxy, chance)
    sent: list[Sent] = []
    outcome = Outcome({"seed": seed, "seconds": seconds, **way._asdict()})
    with Fleet(settings, folder, chance) as fleet, topics.Writer(servers) as writer:
        flow = _Flow(records, sent, writer)
        disturb_at_s = time.monotonic() + FIRST_DISTURBANCE_S

        def disturb(now_s: float) -> None:
            nonlocal disturb_at_s
            fleet.tend(now_s)
            trouble.tend(now_s)
            if now_s >= disturb_at_s:
                (trouble.make if chance.random() < SHARE_KAFKA else fleet.disturb)(now_s)
                disturb_at_s = time.monotonic() + chance.uniform(*DISTURB_EVERY_S)

        calm_since_s, n_rebalances = time.monotonic(), 0.0

        def is_settled() -> bool:
            nonlocal calm_since_s, n_rebalances
            now_s = time.monotonic()
            fleet.tend(now_s)
            totals = fleet.totals()
            assigned, n = totals[ASSIGNED], totals[REBALANCES]
            ends = topics.ends(servers, "readings", N_PARTITIONS)
            stored = topics.committed(servers, "pipeline", ends)
            outcome.report |= {"assigned": assigned, "committed": stored, "ends": ends}
            if n != n_rebalances or assigned != N_PARTITIONS or stored != ends:
                calm_since_s, n_rebalances = now_s, n
            return now_s - calm_since_s >= SETTLED_S

        flow.run(seconds, disturb)
        trouble.tend(float("inf"))
        fleet.calm()
        outcome.report |= {"done": dict(fleet.done + trouble.done)}
        calm_since_s = time.monotonic()
        is_at_end = _within(SETTLE_TIMEOUT_S, is_settled)
        before, n_before = fleet.totals(), len(sent)
        told_before = _told(servers)
        flow.run(CALM_S, lambda now_s: None)
        calm_since_s = time.monotonic()
        is_at_end = is_at_end and _within(SETTLE_TIMEOUT_S, is_settled)
        after = fleet.totals()
        exit_codes = dict(fleet.exit_codes)
        errors = dict(fleet.errors())
        outcome.report |= {"exit_codes": exit_codes, "errors": errors}
        outcome.differences += ended(exit_codes, errors)
    if not is_at_end:
        outcome.differences.append("the workers did not read to the end")
        return outcome
    readings, told = topics.read(servers, "readings", N_PARTITIONS), _told(servers)
    expected = undisturbed(detector, readings, N_PARTITIONS)
    outcome.report |= {
        "records": len(readings),
        "readings": sum(each.n_readings for each in sent),
        "late": sum(each.is_late for each in sent),
        "poison": sum(each.is_poison for each in sent),
        "faults": stream.n_faults,
        "alerts": len(set(expected.alerts)),
        "alerts_repeated": len(told.alerts) - len(set(told.alerts)),
        "dead_letters_repeated": len(told.dead_letters) - len(set(told.dead_letters)),
    }
    may_repeat = way.delivery != "exactly_once"
    outcome.differences += differences(told, expected, sent, readings, may_repeat)
    outcome.differences += counted(before, after, told_before, told, sent[n_before:])
    return outcome


@dataclass
class _Flow:
    records: Iterator[Sent]
    sent: list[Sent]
    writer: topics.Writer

    def run(self, seconds: float, meanwhile: Callable[[float], None]) -> None:
        """Write at a steady rate for so long, and what is written for good."""
        began_s, n_before = time.monotonic(), len(self.sent)
        while (now_s := time.monotonic()) < began_s + seconds:
            meanwhile(now_s)
            while len(self.sent) - n_before < (now_s - began_s) * RECORDS_PER_S:
                self.sent.append(next(self.records))
                self.writer.write("readings", self.sent[-1].key, self.sent[-1].value)
            time.sleep(0.02)
        self.writer.flush()


def make_detector(folder: Path, seed: int) -> Path:
    """A folder with a small detector of this seed's sensors."""
    detector = folder / "detector"
    history = topics.history(normal_series(3_000, seed))
    fitted = TrainerSettings(folds=2, steps=60, hidden=16, latent=4)
    train(history, "ae", fitted, detector, lambda done, loss: None)
    return detector


def worker_settings(detector: Path, servers: str, way: Way) -> Mapping[str, str]:
    """Of a worker that is to notice soon what goes wrong."""
    return {
        "PIPELINE_DETECTOR": str(detector),
        "PIPELINE_KAFKA__BOOTSTRAP_SERVERS": servers,
        "PIPELINE_KAFKA__CLIENT": way.client,
        "PIPELINE_KAFKA__DELIVERY": way.delivery,
        "PIPELINE_KAFKA__SESSION_TIMEOUT_S": "6",
        "PIPELINE_KAFKA__SEND_TIMEOUT_S": "10",
        "PIPELINE_LOG__FORMAT": "json",
        "PIPELINE_DEVICE": "cpu",
    }


def _told(servers: str) -> Told:
    return Told.of(
        topics.read(servers, ALERTS, N_PARTITIONS),
        topics.read(servers, DEAD_LETTERS, N_PARTITIONS),
    )


def _within(timeout_s: float, condition: Callable[[], bool]) -> bool:
    deadline_s = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.5)
    return True
