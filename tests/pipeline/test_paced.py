"""Readings at a steady rate."""

import json
from collections.abc import Iterator

import numpy as np
import pytest

from pipeline.paced import PacedSender
from pipeline.table import Table
from pipeline.times import parse_iso_s
from pipeline.transport.memory import MemoryBroker, MemoryProducer

NOW_S = 1_700_000_000.0


class Clock:
    """Time that passes only while somebody waits."""

    def __init__(self) -> None:
        self.now_s = NOW_S

    def now(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


def table(n_rows: int, begin_s: float = 0.0) -> Table:
    """Of two units in turn, a reading a minute, whose values count up."""
    return Table(
        sensors=("x",),
        units=("a", "b"),
        time_s_N=np.arange(n_rows, dtype=np.float64) * 60.0 + begin_s,
        unit_N=np.arange(n_rows) % 2,
        values_NF=np.arange(n_rows, dtype=np.float32)[:, None],
        label_N=None,
    )


def sender(
    broker: MemoryBroker, clock: Clock, rate: float, keep_times: bool = False
) -> PacedSender:
    producer = MemoryProducer(broker)
    return PacedSender(producer, "readings", rate, keep_times, clock.now, clock.wait)


def times_sent(broker: MemoryBroker) -> list[float]:
    sent = [json.loads(r.value or b"") for r in broker.records("readings")]
    return [parse_iso_s(reading["time"]) for reading in sent]


@pytest.mark.parametrize("rate", [2.0, 50.0, 5_000.0])
def test_readings_are_sent_at_the_rate(rate: float) -> None:
    broker, clock = MemoryBroker(), Clock()
    told: list[int] = []
    paced = sender(broker, clock, rate)

    paced.send(iter([table(60), table(40)]), told.append)

    sent = [json.loads(r.value or b"") for r in broker.records("readings")]
    assert [reading["values"]["x"] for reading in sent] == [*range(60), *range(40)]
    assert paced.n_sent == told[-1] == 100
    assert paced.took_s == pytest.approx(100 / rate)


def test_they_carry_the_times_at_which_they_are_due() -> None:
    broker, clock = MemoryBroker(), Clock()

    sender(broker, clock, 50.0).send(iter([table(60), table(40)]))

    np.testing.assert_allclose(times_sent(broker), NOW_S + np.arange(100) / 50, atol=1e-5)


def test_or_their_own() -> None:
    broker, clock = MemoryBroker(), Clock()

    sender(broker, clock, 50.0, keep_times=True).send(iter([table(100)]))

    assert times_sent(broker) == [60.0 * n for n in range(100)]


def test_but_none_is_later_than_when_it_is_sent() -> None:
    broker, clock = MemoryBroker(), Clock()

    paced = sender(broker, clock, 50.0, keep_times=True)
    paced.send(iter([table(100, begin_s=NOW_S - 30 * 60.0)]))

    times = np.array(times_sent(broker))
    assert list(times[:31]) == [NOW_S - 30 * 60.0 + 60.0 * n for n in range(31)]
    np.testing.assert_allclose(times[31:], NOW_S + np.arange(31, 100) / 50, atol=1e-5)


def test_a_clock_that_is_set_back_delays_nothing() -> None:
    broker, clock = MemoryBroker(), Clock()
    waited: list[float] = []
    producer = MemoryProducer(broker)

    def set_back(seconds: float) -> None:
        waited.append(seconds)
        clock.now_s -= 3_600.0

    PacedSender(producer, "readings", 10.0, False, clock.now, set_back).send(
        iter([table(5)])
    )

    assert waited == pytest.approx([0.1] * 5)


def test_it_stops_when_the_wait_says_so() -> None:
    broker, clock = MemoryBroker(), Clock()

    def endless() -> Iterator[Table]:
        while True:
            yield table(100)

    paced = PacedSender(
        MemoryProducer(broker),
        "readings",
        rate=50.0,
        now_s=clock.now,
        wait=lambda seconds: len(broker.records("readings")) >= 250,
    )
    paced.send(endless())

    assert paced.n_sent == 250


def test_records_are_keyed_by_their_unit() -> None:
    broker, clock = MemoryBroker(), Clock()

    sender(broker, clock, 10.0).send(iter([table(4)]))

    assert [r.key for r in broker.records("readings")] == [b"a", b"b", b"a", b"b"]
