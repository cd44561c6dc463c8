"""`python -m tests.bench.uses.denoise DATA`: how much nearer to the signal readings come.

A detector learns from the first three quarters of each recording's normal rows. To the rest
Gaussian noise is added, and what `trainer denoise` makes of it is compared with the rows as
they were. Beside it stand a moving average and a Savitzky-Golay filter, both centred, whose
windows and orders were tuned on the learned rows with the same noise added: per sensor and
for all sensors alike, of which the one that does better here counts.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet
import torch
import typer
from scipy.ndimage import uniform_filter1d
from scipy.signal import savgol_filter

from pipeline.detector.artifact import LoadedDetector
from pipeline.detector.load import load_reference
from pipeline.records import FloatArray
from tests.bench.quality.sets import Recording, read_set
from trainer.denoise.denoise_file import denoise_file
from trainer.denoise.look import NUDGE
from trainer.denoise.noise import estimated_noise
from trainer.denoise.smoothing import Around, fit_smoothing
from trainer.settings import TrainerSettings
from trainer.train import train

LEARNED_SHARE = 0.75
LEVELS = (0.3, 0.5, 1.0)
"""Of the noise, in standard deviations of each sensor."""
SPANS = (3, 5, 7, 9, 13, 17, 25, 33, 49, 65)
ORDERS = (1, 2, 3)
WAYS = ("noisy", "moving average", "Savitzky-Golay", "no networks", "denoise")
Filter = Callable[[FloatArray], FloatArray]
Errors = dict[tuple[str, float], float]


class Rest(NamedTuple):
    """A recording's rows, in standard deviations of the detector."""

    learned_NF: FloatArray
    clean_NF: FloatArray


def main(
    data: Annotated[Path, typer.Argument(help="Folder with one folder of .npz a set.")],
    sets: Annotated[str, typer.Option()] = "asd,smd,tep",
    model: Annotated[str, typer.Option(help="As of `trainer fit`.")] = "ae",
    corrupt: Annotated[str, typer.Option(help="As of `trainer fit`.")] = "noise:1",
    seeds: Annotated[int, typer.Option(help="Seeds, from 0.")] = 3,
    assignments: Annotated[
        list[str] | None, typer.Option("--set", help="NAME=VALUE of the trainer.")
    ] = None,
) -> None:
    """Print RMSE to the clean signal, mean over recordings and seeds, and the spread."""
    torch.set_num_threads(1)
    overrides = {"corrupt": corrupt, **dict(a.split("=", 1) for a in assignments or [])}
    print("set   noise  way               RMSE  spread           below noisy")
    for name in sets.split(","):
        recordings = read_set(data / name)
        if name == "tep":
            # One recording of the plant without a fault; the others begin with one alike.
            recordings = [recording for recording in recordings if recording.name == "d00"]
        by_seed = []
        for seed in range(seeds):
            settings = TrainerSettings.model_validate({**overrides, "seed": seed})
            by_seed.append(_mean_of([errors(r, model, settings) for r in recordings]))
        for line in _lines(name, by_seed):
            print(line, flush=True)


def errors(recording: Recording, model: str, settings: TrainerSettings) -> Errors:
    """RMSE of each way at each level of noise, in standard deviations."""
    if recording.name == "d00":
        learned, rest_NF = recording, recording.test_NF
    else:
        n_learned = int(len(recording.train_NF) * LEARNED_SHARE)
        learned = recording._replace(train_NF=recording.train_NF[:n_learned])
        rest_NF = recording.train_NF[n_learned:]
    found: Errors = {}
    with TemporaryDirectory() as name:
        folder = Path(name) / "detector"
        loaded = train(learned.history(), model, settings, folder, _silent).loaded
        scaled = loaded.detector.scaling.scaled
        rest = Rest(
            scaled(
                learned._replace(test_NF=learned.train_NF).columns(loaded.detector.sensors)
            ),
            scaled(learned._replace(test_NF=rest_NF).columns(loaded.detector.sensors)),
        )
        random = np.random.default_rng(settings.seed)
        for level in LEVELS:
            noisy_NF, learned_NF = (
                (x_NF + level * random.standard_normal(x_NF.shape)).astype(np.float32)
                for x_NF in (rest.clean_NF, rest.learned_NF)
            )
            made = {
                "noisy": [noisy_NF],
                "moving average": _filtered(_averages(), rest, learned_NF, noisy_NF),
                "Savitzky-Golay": _filtered(_polynomials(), rest, learned_NF, noisy_NF),
                "no networks": [_without_networks(folder, loaded, noisy_NF)],
                "denoise": [_denoised(folder, loaded, noisy_NF, recording.step_s)],
            }
            for way, candidates in made.items():
                found[way, level] = min(_rmse(x_NF, rest.clean_NF) for x_NF in candidates)
    return found


def _denoised(
    folder: Path, loaded: LoadedDetector, noisy_NF: FloatArray, step_s: float
) -> FloatArray:
    """By the command, from file to file; it is not told the level of the noise."""
    data, out = folder.parent / "noisy.parquet", folder.parent / "clean.parquet"
    detector = loaded.detector
    values_NF = detector.scaling.unscaled(noisy_NF)
    columns = {"time": np.arange(len(noisy_NF)) * step_s}
    columns |= dict(zip(detector.sensors, values_NF.T, strict=True))
    pyarrow.parquet.write_table(pa.table(columns), data)
    denoise_file(folder, data, out, None, "cpu")
    table = pyarrow.parquet.read_table(out)
    clean_NF = np.stack([table[sensor].to_numpy() for sensor in detector.sensors], axis=1)
    return detector.scaling.scaled(clean_NF)


def _without_networks(
    folder: Path, loaded: LoadedDetector, noisy_NF: FloatArray
) -> FloatArray:
    """What `denoise` does to residuals, done to the readings themselves."""
    is_next_N = np.arange(len(noisy_NF)) > 0
    noise_F = estimated_noise(load_reference(folder, loaded), noisy_NF, is_next_N)
    random = np.random.default_rng(0)
    nudge_NF = random.choice(np.array([-1, 1], np.float32), noisy_NF.shape)
    nudge_NF *= np.maximum(NUDGE * noise_F, np.float32(1e-3))
    at_N = np.arange(len(noisy_NF))
    plain = Around(noisy_NF, at_N, np.zeros_like(at_N), np.full_like(at_N, len(at_N) - 1))
    nudged = plain._replace(residual_MF=noisy_NF + nudge_NF)
    return fit_smoothing(plain, nudged, nudge_NF, noise_F).added(plain)


def _averages() -> Iterator[Filter]:
    yield _unchanged
    for span in SPANS:
        yield partial(uniform_filter1d, size=span, axis=0, mode="nearest")


def _polynomials() -> Iterator[Filter]:
    yield _unchanged
    for order in ORDERS:
        for span in SPANS:
            if span > order + 1:
                yield partial(
                    savgol_filter,
                    window_length=span,
                    polyorder=order,
                    axis=0,
                    mode="nearest",
                )


def _unchanged(x_NF: FloatArray) -> FloatArray:
    return x_NF


def _filtered(
    filters: Iterator[Filter], rest: Rest, learned_NF: FloatArray, noisy_NF: FloatArray
) -> list[npt.NDArray[np.float32]]:
    """By the best filter for all sensors, and by the best for each."""
    candidates = list(filters)
    squared_CF = np.array(
        [np.square(f(learned_NF) - rest.learned_NF).mean(axis=0) for f in candidates]
    )
    made_CNF = [f(noisy_NF) for f in candidates]
    best_F = squared_CF.argmin(axis=0)
    each_NF = np.stack([made_CNF[c][:, f] for f, c in enumerate(best_F.tolist())], axis=1)
    return [made_CNF[int(squared_CF.mean(axis=1).argmin())], each_NF]


def _rmse(x_NF: FloatArray, clean_NF: FloatArray) -> float:
    return float(np.sqrt(np.square(x_NF - clean_NF, dtype=np.float64).mean()))


def _mean_of(of_recordings: Sequence[Errors]) -> Errors:
    return {
        key: float(np.mean([found[key] for found in of_recordings]))
        for key in of_recordings[0]
    }


def _lines(name: str, by_seed: Sequence[Errors]) -> Iterator[str]:
    for level in LEVELS:
        noisy = np.mean([found["noisy", level] for found in by_seed])
        for way in WAYS:
            values = [found[way, level] for found in by_seed]
            spread = f"{min(values):.3f} to {max(values):.3f}"
            below = f"{1 - np.mean(values) / noisy:.0%}"
            mean = f"{np.mean(values):6.3f}"
            yield f"{name:5} {level:5}  {way:15} {mean}  {spread}  {below:>11}"


def _silent(done: float, loss: float) -> None:
    """No progress to show."""


if __name__ == "__main__":
    typer.run(main)
