"""`python -m tests.bench.quality.fleet DATA`: one detector for all machines of a set.

The machines of a set have the same sensors at levels of their own. Beside a detector each
stands one detector for all of them, with one scaler for all or one each.
"""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import numpy as np
import torch
import typer

from pipeline.detector.artifact import LoadedDetector
from tests.bench.quality.measure import measure, measured
from tests.bench.quality.sets import Recording, read_set
from trainer.history import History
from trainer.settings import TrainerSettings
from trainer.train import ENSEMBLE, train


def main(
    data: Annotated[Path, typer.Argument(help="Folder with one folder of .npz a set.")],
    sets: Annotated[str, typer.Option()] = "asd,smd",
    seeds: Annotated[int, typer.Option()] = 1,
) -> None:
    """Print VUS-PR and average precision, the mean over machines and seeds."""
    torch.set_num_threads(1)
    print("set       detector        VUS-PR  average precision  normal rows in alarm")
    for name in sets.split(","):
        recordings = read_set(data / name)
        of_kind: dict[str, list[list[float]]] = {}
        for seed in range(seeds):
            settings = TrainerSettings(seed=seed)
            each = measure(recordings, ENSEMBLE, settings)
            results = {"one each": each}
            for scaling in ("pooled", "per-unit", "auto"):
                asked = settings.model_copy(update={"scaling": scaling})
                loaded = one_for_all(recordings, asked)
                results[scaling] = [measured(r, loaded, 0.0) for r in recordings]
            for kind, of_files in results.items():
                of_kind.setdefault(kind, []).extend(
                    [r.vus_pr, r.average_precision, r.false_alarm_share] for r in of_files
                )
        for kind, rows in of_kind.items():
            vus, precision, share = np.nanmean(rows, axis=0)
            print(f"{name:9} {kind:14} {vus:7.3f} {precision:18.3f} {share:13.1%}")


def one_for_all(
    recordings: Sequence[Recording], settings: TrainerSettings
) -> LoadedDetector:
    """A detector trained on all recordings, each a unit."""
    histories = [recording.history() for recording in recordings]
    n_of_unit = [len(history) for history in histories]
    together = History(
        sensors=histories[0].sensors,
        units=tuple(recording.name for recording in recordings),
        time_s_N=np.concatenate([history.time_s_N for history in histories]),
        values_NF=np.concatenate([history.values_NF for history in histories]),
        label_N=np.concatenate([history.label_N for history in histories]),
        begin_U=np.concatenate([[0], np.cumsum(n_of_unit)]),
        notes=[],
    )
    with TemporaryDirectory() as folder:
        out = Path(folder) / "detector"
        return train(together, ENSEMBLE, settings, out, lambda done, loss: None).loaded


if __name__ == "__main__":
    typer.run(main)
