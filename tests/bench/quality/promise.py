"""`python -m tests.bench.quality.promise DATA`: false alarms promised against observed.

Each recording's normal rows are cut in two. A detector learns from the first part, and the
false alarms that it promises for each rate are compared with those it makes on the second.
"""

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from pipeline.settings import parse_trigger
from pipeline.trigger import IncidentRule
from tests.bench.quality.measure import score_rows
from tests.bench.quality.sets import Recording, read_set
from trainer.calibrate import DAY_S, calibrate, count_incidents
from trainer.settings import TrainerSettings
from trainer.train import train

RATES = (0.1, 0.3, 1.0, 3.0, 10.0)
LEARNED_SHARE = 0.6


class Promise(NamedTuple):
    """One rate, over all recordings of a set."""

    asked: float
    promised: float
    observed: float
    n_observed: int
    unit_days: float
    methods: list[str]


def main(
    data: Annotated[Path, typer.Argument(help="Folder with one folder of .npz a set.")],
    sets: Annotated[str, typer.Option()] = "skab_dev,asd,smd,tep",
    seed: Annotated[int, typer.Option()] = 0,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Print, for each set and rate, false alarms per day: asked, promised, observed."""
    torch.set_num_threads(1)
    rows = []
    print("set        asked  promised  observed  in unit-days  by")
    for name in sets.split(","):
        for promise in promises(read_set(data / name), TrainerSettings(seed=seed)):
            rows.append({"set": name, **promise._asdict()})
            print(
                f"{name:10} {promise.asked:5g} {promise.promised:9.3g} "
                f"{promise.observed:9.3g} {promise.unit_days:13.3g}  "
                f"{', '.join(promise.methods)}"
            )
    if out is not None:
        out.write_text(json.dumps(rows, indent=1))


def promises(recordings: list[Recording], settings: TrainerSettings) -> list[Promise]:
    """Each rate, summed over the recordings that differ in what is learned from."""
    rule = IncidentRule(*parse_trigger(settings.trigger), settings.recovery)
    by_content = {r.train_NF.tobytes(): r for r in recordings}
    promised = np.zeros((len(by_content), len(RATES)))
    n_observed = np.zeros(len(RATES), dtype=np.int64)
    days = np.zeros(len(by_content))
    methods: list[set[str]] = [set() for _ in RATES]
    for number, recording in enumerate(by_content.values()):
        n_learned = int(len(recording.train_NF) * LEARNED_SHARE)
        learned = recording._replace(train_NF=recording.train_NF[:n_learned])
        rest = recording._replace(test_NF=recording.train_NF[n_learned:])
        with TemporaryDirectory() as folder:
            trained = train(
                learned.history(), "ensemble", settings, Path(folder) / "d", _silent
            )
        # As multiples of the statistics' limits, whatever threshold it was saved with.
        score_N = score_rows(rest, trained.loaded).astype(np.float32)
        score_N *= np.float32(trained.calibration.threshold)
        days[number] = len(score_N) * recording.step_s / DAY_S
        series_N = np.zeros(len(score_N), dtype=np.int64)
        for i, rate in enumerate(RATES):
            calibration = calibrate(trained.held_out, rule, rate)
            promised[number, i] = calibration.expected_per_day
            methods[i].add(calibration.method)
            threshold = calibration.threshold
            n_observed[i] += count_incidents(score_N, series_N, threshold, rule)
    return [
        Promise(
            rate,
            float(np.average(promised[:, i], weights=days)),
            float(n_observed[i] / days.sum()),
            int(n_observed[i]),
            float(days.sum()),
            sorted(methods[i]),
        )
        for i, rate in enumerate(RATES)
    ]


def _silent(done: float, loss: float) -> None:
    """No progress to show."""


if __name__ == "__main__":
    typer.run(main)
