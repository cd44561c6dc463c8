"""How real synthetic readings are: `python -m tests.bench.uses.sample DATA`.

Of each recording every other twentieth is learned from; the rest is what synthetic windows
are told from and compared with. TEP, which is short, is learned from whole, and its second
fault-free recording is the rest.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from pipeline.detector.artifact import LoadedDetector
from pipeline.records import FloatArray
from pipeline.window import cut_windows
from tests.bench.quality.measure import score_rows
from tests.bench.quality.sets import Recording, read_set
from tests.bench.uses.telling_apart import areas
from trainer.history import History
from trainer.ranking import average_precision, vus_pr, vus_window
from trainer.settings import TrainerSettings
from trainer.synthetic.draws import Draws, Latent, Noise
from trainer.synthetic.series import Quilt
from trainer.train import train

CHOSEN = {"asd": ("omi-1",), "smd": ("machine-1-6",), "tep": ("d00",)}
N_PARTS = 20
N_DRAWN = 800
N_NEAREST = 200
CPU = torch.device("cpu")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default="vae")
    parser.add_argument("--only", help="one set")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    for name, chosen in CHOSEN.items():
        if arguments.only in (None, name):
            for recording in read_set(arguments.data / name):
                if recording.name in chosen:
                    by_seed = []
                    for seed in range(arguments.seeds):
                        by_seed.append(measured(recording, name, arguments.model, seed))
                        show(f"{name}/{recording.name}", by_seed)


def show(name: str, by_seed: list[dict[str, dict[str, float]]]) -> None:
    """Print the mean over seeds, with the lowest and highest."""
    print(f"\n{name}, {len(by_seed)} seeds")
    for method in by_seed[0]:
        figures = []
        for figure in by_seed[0][method]:
            values = [result[method][figure] for result in by_seed]
            figures.append(
                f"{figure} {np.mean(values):.3f} ({min(values):.3f} to {max(values):.3f})"
            )
        print(f"  {method}: {', '.join(figures)}", flush=True)


def measured(
    recording: Recording, of_set: str, model: str, seed: int
) -> dict[str, dict[str, float]]:
    """Figures of each method, and of detection."""
    settings = TrainerSettings(device="cpu", scaling="pooled", seed=seed)
    known, rest = _parts(recording, of_set)
    with TemporaryDirectory() as temporary:
        folder = Path(temporary) / "real"
        history = _history(known, recording.history().sensors, recording.step_s)
        loaded = train(history, model, settings, folder, lambda done, loss: None).loaded
        halves, training_BTF = _windows(loaded, known, rest)
        figures = {}
        for method, windows_BTF in _methods(loaded, folder, training_BTF, seed):
            figures[method] = _compared(windows_BTF, halves, training_BTF, seed)
        if recording.label_N.any():
            figures["detection"] = _detection(
                recording, loaded, folder, model, settings, [len(part) for part in known]
            )
    return figures


def _parts(
    recording: Recording, of_set: str
) -> tuple[list[FloatArray], list[list[FloatArray]]]:
    """What is learned from, and two halves of the rest, each in stretches."""
    if of_set == "tep":
        quarters = np.array_split(recording.test_NF, 4)
        return [recording.train_NF], [quarters[0::2], quarters[1::2]]
    parts = np.array_split(recording.train_NF, N_PARTS)
    return parts[0::2], [parts[1::4], parts[3::4]]


def _history(parts: list[FloatArray], sensors: tuple[str, ...], step_s: float) -> History:
    n_of_unit = [len(part) for part in parts]
    return History(
        sensors=sensors,
        units=tuple(f"unit-{i}" for i in range(len(parts))),
        time_s_N=np.concatenate([np.arange(n) * step_s for n in n_of_unit]),
        values_NF=np.concatenate(parts),
        label_N=np.zeros(sum(n_of_unit), dtype=np.bool_),
        begin_U=np.concatenate([[0], np.cumsum(n_of_unit)]).astype(np.int64),
        notes=[],
    )


def _windows(
    loaded: LoadedDetector, known: list[FloatArray], rest: list[list[FloatArray]]
) -> tuple[list[FloatArray], FloatArray]:
    """Scaled windows of the two halves of the rest, and of what was learned from."""
    detector = loaded.detector
    columns = [int(sensor.removeprefix("sensor_")) for sensor in detector.sensors]

    def cut(parts: list[FloatArray]) -> FloatArray:
        scaled = [detector.scaling.scaled(part[:, columns]) for part in parts]
        return np.concatenate(
            [cut_windows(part, detector.window).gather(slice(None)) for part in scaled]
        )

    return [cut(half) for half in rest], cut(known)


def _methods(
    loaded: LoadedDetector, folder: Path, training_BTF: FloatArray, seed: int
) -> Iterator[tuple[str, FloatArray]]:
    """Windows of each method, (B, T, F), scaled."""
    choices: tuple[tuple[str, Latent, Noise], ...] = (
        ("ours", "posterior", "observed"),
        ("ours, from the prior", "prior", "observed"),
        ("VAE, prior and learned variance", "prior", "gaussian"),
    )
    for name, latent, noise in choices:
        draws = Draws(loaded, folder, latent, noise, CPU, seed)
        yield name, np.concatenate([draws.windows(N_DRAWN // 4) for _ in range(4)])
    length = training_BTF.shape[1]
    random = np.random.default_rng(seed)
    [series_NF] = synthetic(loaded, folder, 1, N_DRAWN * length // 4, seed)
    yield "ours, a series", cut_windows(series_NF, length, 8).gather(slice(None))
    yield (
        "Gaussian on principal components",
        _gaussian(training_BTF, loaded.detector.networks[0].shape.latent, random),
    )
    copied = random.integers(len(training_BTF), size=N_DRAWN)
    yield "block bootstrap, inside blocks", training_BTF[copied]
    blocks_NF = training_BTF[copied].reshape(-1, training_BTF.shape[2])
    at = random.integers(1, length, size=N_DRAWN - 1) + length * np.arange(N_DRAWN - 1)
    yield "block bootstrap, over joints", np.stack([blocks_NF[i : i + length] for i in at])


def synthetic(
    loaded: LoadedDetector, folder: Path, n_units: int, n_rows: int, seed: int
) -> FloatArray:
    """Scaled series of so many rows each, shape (U, N, F)."""
    draws = Draws(loaded, folder, "posterior", "observed", CPU, seed)
    pieces, n_done = [], 0
    for x_UNF in Quilt(draws, n_units, seed).pieces():
        pieces.append(x_UNF)
        n_done += x_UNF.shape[1]
        if n_done >= n_rows:
            break
    return np.concatenate(pieces, axis=1)[:, :n_rows]


def _gaussian(
    training_BTF: FloatArray, n_components: int, random: np.random.Generator
) -> FloatArray:
    """A Gaussian on so many components, with each sensor's residual variance as noise."""
    x_BV = training_BTF.reshape(len(training_BTF), -1).astype(np.float64)
    mean_V = x_BV.mean(axis=0)
    values, axes = np.linalg.eigh(np.cov(x_BV.T))
    axes = axes[:, -n_components:]
    rest_BV = x_BV - mean_V - (x_BV - mean_V) @ axes @ axes.T
    std_F = rest_BV.reshape(training_BTF.shape).std(axis=(0, 1))
    std_C = np.sqrt(np.maximum(values[-n_components:], 0.0))
    drawn_BV = mean_V + (random.normal(size=(N_DRAWN, n_components)) * std_C) @ axes.T
    drawn_BTF = drawn_BV.reshape(N_DRAWN, *training_BTF.shape[1:])
    noise_BTF = std_F * random.normal(size=drawn_BTF.shape)
    return np.asarray(drawn_BTF + noise_BTF, dtype=np.float32)


def _compared(
    windows_BTF: FloatArray, halves: list[FloatArray], training_BTF: FloatArray, seed: int
) -> dict[str, float]:
    real_BTF = np.concatenate(halves)
    by_classifier = areas(halves, windows_BTF, seed)
    return {
        "AUC": max(by_classifier.values()),
        "marginals": _marginals(windows_BTF, real_BTF),
        "autocorrelations": _difference(_autocorrelations, windows_BTF, real_BTF),
        "cross-correlations": _difference(_correlations, windows_BTF, real_BTF),
        "nearest": _nearest(windows_BTF, training_BTF, seed)
        / _nearest(real_BTF, training_BTF, seed),
    }


def _marginals(a_BTF: FloatArray, b_BTF: FloatArray) -> float:
    """Wasserstein distance of the values, in standard deviations, mean over sensors."""
    at = np.linspace(0.0, 1.0, 501)
    a_QF, b_QF = (
        np.quantile(x.reshape(-1, x.shape[2]), at, axis=0) for x in (a_BTF, b_BTF)
    )
    return float(np.abs(a_QF - b_QF).mean())


def _autocorrelations(x_BTF: FloatArray) -> FloatArray:
    x_BTF = x_BTF - x_BTF.mean(axis=(0, 1))
    variance_F = np.square(x_BTF).mean(axis=(0, 1)) + 1e-6
    return np.stack(
        [
            (x_BTF[:, :-k] * x_BTF[:, k:]).mean(axis=(0, 1)) / variance_F
            for k in range(1, 17)
        ]
    )


def _correlations(x_BTF: FloatArray) -> FloatArray:
    n_sensors = x_BTF.shape[2]
    x_NF = x_BTF.reshape(-1, n_sensors).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        correlation_FF = np.nan_to_num(np.corrcoef(x_NF.T))
    return np.asarray(correlation_FF[np.triu_indices(n_sensors, 1)], dtype=np.float32)


def _difference(of: object, a_BTF: FloatArray, b_BTF: FloatArray) -> float:
    assert callable(of)
    return float(np.abs(of(a_BTF) - of(b_BTF)).mean())


def _nearest(windows_BTF: FloatArray, training_BTF: FloatArray, seed: int) -> float:
    """Median distance to the nearest training window."""
    random = np.random.default_rng(seed)
    chosen = random.choice(len(windows_BTF), N_NEAREST, replace=False)
    a, b = (
        torch.from_numpy(x.reshape(len(x), -1)).clamp(-10, 10)
        for x in (windows_BTF[chosen], training_BTF)
    )
    return float(torch.cdist(a, b).min(dim=1).values.median())


def _detection(
    recording: Recording,
    loaded: LoadedDetector,
    folder: Path,
    model: str,
    settings: TrainerSettings,
    n_of_unit: list[int],
) -> dict[str, float]:
    """Detection on the labelled rows, after training on real and on synthetic readings."""
    scaled_UNF = synthetic(loaded, folder, len(n_of_unit), max(n_of_unit), settings.seed)
    parts = [
        loaded.detector.scaling.unscaled(x_NF[:n])
        for x_NF, n in zip(scaled_UNF, n_of_unit, strict=True)
    ]
    history = _history(parts, loaded.detector.sensors, recording.step_s)
    on_synthetic = train(
        history, model, settings, folder.parent / "synthetic", lambda done, loss: None
    ).loaded
    window = vus_window(recording.test_NF[:, 0])
    figures = {}
    for what, detector in (("real", loaded), ("synthetic", on_synthetic)):
        score_N = score_rows(recording, detector)
        figures[f"VUS-PR after {what}"] = vus_pr(recording.label_N, score_N, window)
        figures[f"AP after {what}"] = average_precision(recording.label_N, score_N)
    return figures


if __name__ == "__main__":
    main()
