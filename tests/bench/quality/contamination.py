"""`python -m tests.bench.quality.contamination DATA`: histories with unlabelled faults.

Labelled stretches of the test rows are pasted over rows of the history, without a label,
until they are a given share of it. They are faults of the very kinds that the detector is
then measured on: the hardest case.
"""

import json
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer

from tests.bench.quality.measure import measure
from tests.bench.quality.sets import Recording, read_set
from trainer.ranking import runs
from trainer.settings import TrainerSettings

SHARES = (0.0, 0.01, 0.05, 0.1)


def main(
    data: Annotated[Path, typer.Argument(help="Folder with one folder of .npz a set.")],
    sets: Annotated[str, typer.Option()] = "asd,skab_dev",
    seeds: Annotated[int, typer.Option()] = 1,
    out: Annotated[Path | None, typer.Option(help="JSON file to write.")] = None,
) -> None:
    """Print average precision and VUS-PR by share of faults in the history."""
    torch.set_num_threads(1)
    rows = []
    print("set       faults  average precision  VUS-PR")
    for name in sets.split(","):
        recordings = read_set(data / name)
        for share in SHARES:
            results = [
                result
                for seed in range(seeds)
                for result in measure(
                    [contaminated(r, share, seed) for r in recordings],
                    "ensemble",
                    TrainerSettings(seed=seed),
                )
            ]
            precision = float(np.mean([r.average_precision for r in results]))
            volume = float(np.mean([r.vus_pr for r in results]))
            rows.append({"set": name, "share": share, "ap": precision, "vus_pr": volume})
            print(f"{name:9} {share:6.0%} {precision:18.3f} {volume:7.3f}")
    if out is not None:
        out.write_text(json.dumps(rows, indent=1))


def contaminated(recording: Recording, share: float, seed: int) -> Recording:
    """A recording with faults pasted into its history, at random places.

    Args:
        recording: with at least one labelled stretch.
        share: of the history's rows.
        seed: of the choice of stretches and places.
    """
    random = np.random.default_rng(seed)
    train_NF = recording.train_NF.copy()
    n_left = int(share * len(train_NF))
    events = runs(recording.label_N)
    while n_left > 0:
        begin, end = events[random.integers(len(events))].tolist()
        n = min(end + 1 - begin, n_left, len(train_NF) // 4)
        at = int(random.integers(0, len(train_NF) - n + 1))
        train_NF[at : at + n] = recording.test_NF[begin : begin + n]
        n_left -= n
    return recording._replace(train_NF=train_NF)


if __name__ == "__main__":
    typer.run(main)
