"""`python -m tests.bench.uses.tune DATA`: does the criterion without labels rank settings
as the labels of test rows do?"""

from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import typer
from rich.console import Console
from rich.table import Table
from scipy.stats import spearmanr

from pipeline.detector.detector import Detector
from tests.bench.quality.measure import score_rows
from tests.bench.quality.sets import Recording, read_set
from trainer.distributed import ALONE
from trainer.fit_families import fit_families
from trainer.prepare import prepare
from trainer.ranking import average_precision, vus_pr, vus_window
from trainer.settings import TrainerSettings
from trainer.train import ENSEMBLE, FAMILIES_OF, scored
from trainer.tuning.criterion import HeldOutJudge, by_faults
from trainer.tuning.probes import choose_probes, runs_of_rows
from trainer.tuning.space import FAMILY, LATENT, RATE, WINDOW, Choice, Space, space_of

CPU = torch.device("cpu")


class Outcome:
    """One setting on one recording."""

    def __init__(self, recording: Recording, choice: Choice, seed: int, steps: int) -> None:
        history = recording.history()
        settings = choice.applied(TrainerSettings(seed=seed, steps=steps, device="cpu"))
        prepared = prepare(history, settings)
        families = FAMILIES_OF.get(choice.family, (choice.family,))
        networks, losses = fit_families(
            families, prepared.folds, settings, CPU, lambda done, loss: None, ALONE
        )
        scoring, _, explained = scored(networks, prepared, settings, CPU)
        self.parts = {"explained": explained, "-loss": -float(np.mean([*losses.values()]))}
        longest = prepare(history, TrainerSettings(window=64))
        runs = runs_of_rows(longest.folds, 63)
        probes = choose_probes(longest.history, runs, longest.is_scored_F, 0)
        judge = HeldOutJudge(networks, scoring, prepared, CPU)
        criterion = by_faults(judge, probes)
        self.criterion, self.parts = criterion.value, {**criterion.parts, **self.parts}
        detector = Detector(
            prepared.history.sensors, networks, prepared.scaling, scoring, 1.0
        )
        label_N = recording.label_N
        score_N = score_rows(recording, _Loaded(detector))  # type: ignore[arg-type]
        self.vus_pr = vus_pr(label_N, score_N, vus_window(recording.test_NF[:, 0]))
        self.average_precision = average_precision(label_N, score_N)


class _Loaded:
    def __init__(self, detector: Detector) -> None:
        self.detector = detector


def choices(space: Space, n_choices: int, seed: int) -> list[Choice]:
    """The default, and others at random over the whole range."""
    random = np.random.default_rng(seed)
    drawn = [space.default]
    while len(drawn) < n_choices:
        drawn.append(
            space.choice(
                {
                    FAMILY: random.choice(space.families),
                    WINDOW: round(np.exp(random.uniform(np.log(8), np.log(64)))),
                    LATENT: np.exp(random.uniform(np.log(0.25), np.log(4.0))),
                    RATE: np.exp(random.uniform(np.log(2e-4), np.log(2e-2))),
                }
            )
        )
    return drawn


def main(
    data: Annotated[Path, typer.Argument(help="Folder with one folder of .npz a set.")],
    sets: Annotated[str, typer.Option(help="Sets.")] = "skab_dev,asd,tsb_msl",
    files: Annotated[int, typer.Option(help="Recordings of each set, evenly taken.")] = 3,
    trials: Annotated[int, typer.Option(help="Settings, the default among them.")] = 16,
    seeds: Annotated[int, typer.Option(help="Seeds of training.")] = 1,
    steps: Annotated[int, typer.Option(help="Of training.")] = 200,
) -> None:
    """Rank settings by injected faults and by labels of test rows; print both."""
    torch.set_num_threads(1)
    table = Table("set", "file", "seed", "rank corr. VUS-PR", "rank corr. AP", box=None)
    for column in ("default", "mean", "chosen", "best possible"):
        table.add_column(f"VUS-PR {column}")
    table.add_column("parts")
    console, log = Console(width=200), Console(stderr=True)
    for name in sets.split(","):
        recordings = read_set(data / name)
        picked = np.linspace(0, len(recordings) - 1, files).round().astype(int).tolist()
        for recording in (recordings[index] for index in dict.fromkeys(picked)):
            n_sensors = recording.train_NF.shape[1]
            space = space_of(TrainerSettings(), None, 64, n_sensors)
            for seed in range(seeds):
                outcomes = []
                for choice in choices(space, trials, seed=7):
                    try:
                        outcomes.append(Outcome(recording, choice, seed, steps))
                    except Exception as error:
                        log.print(f"{recording.name} {choice}: {error}")
                        continue
                    o = outcomes[-1]
                    told = f"{o.criterion:.3f} {o.vus_pr:.3f} {o.parts}"
                    log.print(f"{recording.name} {choice} {told}", soft_wrap=True)
                found = np.array([o.vus_pr for o in outcomes])
                ap = np.array([o.average_precision for o in outcomes])
                by = np.array([o.criterion for o in outcomes])
                parts = " ".join(
                    f"{k} {spearmanr([o.parts[k] for o in outcomes], found)[0]:.2f}"
                    for k in outcomes[0].parts
                )
                row = [
                    f"{spearmanr(by, found)[0]:.2f}",
                    f"{spearmanr(by, ap)[0]:.2f}",
                    f"{found[0]:.3f}",
                    f"{found.mean():.3f}",
                    f"{found[by.argmax()]:.3f}",
                    f"{found.max():.3f}",
                    parts,
                ]
                log.print(name, recording.name, row)
                table.add_row(name, recording.name, str(seed), *row)
    console.print(table)


assert ENSEMBLE

if __name__ == "__main__":
    typer.run(main)
