"""The worker's steps without Kafka: what a reading costs, and what a unit.

`python -m tests.bench.units --n-units N --smoothed 1` prints the memory that so many units
take; with 0, where scores are those of the newest reading.
"""

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from pipeline.decide import decide
from pipeline.detector.artifact import LoadedDetector
from pipeline.records import Partition, Readings, Records
from pipeline.score import Scorer
from pipeline.settings import DecodeSettings
from pipeline.steps import build_steps
from pipeline.times import END_OF_CALENDAR_S
from pipeline.transport.memory_broker import MemoryRecord
from pipeline.trigger import IncidentRule
from tests import builders
from tests.bench import child
from tests.bench.scoring import WINDOW, untrained
from tests.bench.site import AE, MAX_RECORDS
from tests.bench.stream import BEGIN_S, SENSORS, STEP_S, Item

PARTITION = Partition("readings", 0)
N_WARM = 1_000
"""Units before the first look at memory: what any number of them needs is there by then."""


class Plant:
    """Units that all send readings, and the steps that these go through."""

    def __init__(self, n_units: int, smoothed: bool) -> None:
        """Start without a reading.

        Args:
            n_units: how many there are.
            smoothed: whether scores are watched over several time scales, as a trained
                detector does, or are those of the newest reading.
        """
        detector = untrained(AE)
        if not smoothed:
            detector = untrained(AE, detector.scoring.statistics[:1])  # type: ignore[attr-defined]
        self.names = [f"unit-{unit:07d}" for unit in range(n_units)]
        self.kept_bytes = 4 * len(SENSORS) * (WINDOW - 1 + detector.scoring.n_memory)
        self._n_done = 0
        self._random = np.random.default_rng(0)
        self._steps = build_steps(
            LoadedDetector(detector, builders.manifest(detector), "sha256:0"),
            Scorer(detector, torch.device("cpu")),
            IncidentRule(3, 4, 15),
            DecodeSettings(max_ahead_s=END_OF_CALENDAR_S),
            max_units=2**31,
            unit_idle_s=np.inf,
            alerts_topic="alerts",
            max_sensors=5,
        )

    def records(self, items: list[Item]) -> Records:
        """As one poll returns them, behind all that came before."""
        begin = self._n_done
        records = [
            MemoryRecord("readings", 0, begin + n, -1, item.key, item.value, ())
            for n, item in enumerate(items)
        ]
        return Records(records, {PARTITION: begin + len(records)})

    def take(self, records: Records) -> float:
        """Decode, window, score and decide; seconds."""
        began_s = time.perf_counter()
        readings, rejects = self._steps.decoder.decode(records)
        self.take_decoded(readings, records)
        assert not rejects
        return time.perf_counter() - began_s

    def take_decoded(self, readings: Readings, records: Records) -> None:
        """All but the decoding, which keeps nothing from poll to poll."""
        steps = self._steps
        readings, row_N, _ = steps.units.admit(readings, records)
        [windows] = steps.windows.extend(readings, row_N, steps.units.n_rows)
        decide(steps, readings, windows)
        self._n_done += len(readings)

    def send(self, begin: int, end: int, step: int, n_steps: int) -> None:
        """Let the units [begin, end) send readings of these steps, a unit's in a row."""
        n = (end - begin) * n_steps
        step_N = np.tile(np.arange(step, step + n_steps), end - begin)
        noise_NF = self._random.standard_normal((n, len(SENSORS)), dtype=np.float32)
        readings = Readings(
            units=[name for name in self.names[begin:end] for _ in range(n_steps)],
            time_s_N=np.asarray(BEGIN_S + STEP_S * step_N, dtype=np.float64),
            values_NF=12.0 + noise_NF,
            record_N=np.zeros(n, dtype=np.int64),
            offset_N=self._n_done + np.arange(n),
            partition_N=np.zeros(n, dtype=np.int64),
            partitions=(PARTITION,),
        )
        self.take_decoded(readings, Records([], {}))

    def fill(self, begin: int, end: int, n_steps: int) -> None:
        """Let the units [begin, end) send `n_steps` readings each, a poll at a time."""
        n_at_once = max(1, MAX_RECORDS // n_steps)
        for first in range(begin, end, n_at_once):
            self.send(first, min(first + n_at_once, end), 0, n_steps)


def main() -> None:
    """Fill so many units, and print what they take in bytes."""
    given = child.options("n_units", "smoothed")
    n_units = int(given.n_units)
    torch.set_num_threads(1)
    plant = Plant(n_units, smoothed=given.smoothed == "1")
    plant.fill(0, N_WARM, WINDOW)
    before_bytes = _resident_bytes()
    plant.fill(N_WARM, n_units, WINDOW)
    grown_bytes = _resident_bytes() - before_bytes
    # `plant.names` held every name before the first look: the steps keep the same text.
    name_bytes = sys.getsizeof(plant.names[0])
    result = {
        "bytes_per_unit": grown_bytes / (n_units - N_WARM) + name_bytes,
        "kept_bytes": plant.kept_bytes,
    }
    print(json.dumps(result))


def _resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    main()
