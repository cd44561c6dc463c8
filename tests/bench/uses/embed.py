"""Do latent vectors tell faults apart? `python -m tests.bench.uses.embed DATA`.

On the ten faults of the Tennessee Eastman process, beside principal components of the same
number, fitted on the same windows. Detectors learn from normal operation alone.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from pipeline.alert import SensorPart
from pipeline.detector.detector import Detector
from pipeline.detector.latent import Encoder
from pipeline.records import BoolArray, FloatArray, IntArray
from pipeline.trigger import IncidentRule, UnitState, transitions
from pipeline.window import Windows, cut_windows
from tests.bench.quality.sets import Recording, read_set
from trainer.latent.similar import Look, similarity
from trainer.settings import TrainerSettings
from trainer.train import train

MODELS = ("ae", "vae", "ensemble")
FAULT_FROM = 160
"""The first row with the fault, in every test."""
N_NEIGHBOURS = 5
N_SENSORS = 5
"""Named in an alert."""
BEFORE_ROWS, INCIDENT_ROWS = 64, 50
"""An incident is made of so many normal rows and so many of a stretch of a fault."""
Project = Callable[[Windows], FloatArray]


class Figures(NamedTuple):
    """Of one detector, and beside it principal components (PCA)."""

    neighbour: float
    """Share of windows whose fault their nearest neighbours name."""
    neighbour_pca: float
    probe: float
    """The same of a linear classifier."""
    probe_pca: float
    precision: float
    """Of the five most similar incidents, the share of the same fault: latent vector."""
    precision_pca: float
    precision_sensors: float
    """By the sensors that alerts name alone."""
    precision_both: float
    """As `trainer similar` compares."""
    precision_random: float


def main(
    data: Annotated[Path, typer.Argument(help="Folder with the folder tep.")],
    seeds: Annotated[int, typer.Option(help="Detectors of each model.")] = 5,
) -> None:
    """Print a line for each model."""
    torch.set_num_threads(1)
    recordings = read_set(data / "tep")
    normal, faults = recordings[0], recordings[1:]
    print("mean (lowest to highest) of", seeds, "seeds")
    for model in MODELS:
        of_seeds = [measured(normal, faults, model, seed) for seed in range(seeds)]
        for name, *values in zip(Figures._fields, *of_seeds, strict=True):
            low, high = min(values), max(values)
            print(f"{model:10}{name:20}{np.mean(values):.3f} ({low:.3f} to {high:.3f})")


def measured(normal: Recording, faults: list[Recording], model: str, seed: int) -> Figures:
    """One detector's figures."""
    with TemporaryDirectory() as folder:
        settings = TrainerSettings(seed=seed, device="cpu")
        out = Path(folder) / "plant"
        loaded = train(
            normal.history(), model, settings, out, lambda done, loss: None
        ).loaded
    detector = loaded.detector
    encoder = Encoder(detector)
    pca = principal_components(detector, normal, encoder.n_latent)

    def latent(windows: Windows) -> FloatArray:
        return encoder.latents(windows).mean_BL

    of_faults = [
        cut_windows(fault.columns(detector.sensors)[FAULT_FROM:], detector.window)
        for fault in faults
    ]
    label_B = np.repeat(np.arange(len(faults)), [len(w) for w in of_faults])
    place_B = np.concatenate([np.arange(len(w)) for w in of_faults])
    # Windows of the first half name those of the second; none shares a reading.
    half = int(place_B.max() + 1) // 2
    known_B, asked_B = place_B < half - detector.window, place_B >= half
    tests = [
        (named(x_BL, label_B, known_B, asked_B), probed(x_BL, label_B, known_B, asked_B))
        for project in (latent, pca)
        for x_BL in [np.concatenate([project(windows) for windows in of_faults])]
    ]
    return Figures(
        tests[0][0], tests[1][0], tests[0][1], tests[1][1],
        *precisions(detector, normal, faults, latent, pca, seed),
    )  # fmt: skip


def principal_components(detector: Detector, normal: Recording, n: int) -> Project:
    """PCA of the windows that the detector learned from, scaled and clipped alike."""

    def flat(windows: Windows) -> FloatArray:
        x_BTF = detector.scaling.scaled(windows.gather(slice(None)))
        return np.clip(x_BTF.reshape(len(windows), -1), -10.0, 10.0)

    values_NF = normal._replace(test_NF=normal.train_NF).columns(detector.sensors)
    learned_BV = flat(cut_windows(values_NF, detector.window))
    mean_V = learned_BV.mean(axis=0)
    axes_LV = np.linalg.svd(learned_BV - mean_V, full_matrices=False)[2][:n]
    return lambda windows: (flat(windows) - mean_V) @ axes_LV.T


def named(
    x_BL: FloatArray, label_B: IntArray, known_B: BoolArray, asked_B: BoolArray
) -> float:
    """Accuracy of the majority of the nearest known windows."""
    known_BL, asked_BL = _standardised(x_BL, known_B, asked_B)
    distance_BK = torch.cdist(torch.from_numpy(asked_BL), torch.from_numpy(known_BL))
    nearest_BN = distance_BK.topk(N_NEIGHBOURS, largest=False).indices.numpy()
    votes = label_B[known_B][nearest_BN]
    found_B = [np.bincount(row).argmax() for row in votes]
    return float(np.mean(found_B == label_B[asked_B]))


def probed(
    x_BL: FloatArray, label_B: IntArray, known_B: BoolArray, asked_B: BoolArray
) -> float:
    """Accuracy of a logistic regression on the known windows."""
    known_BL, asked_BL = (
        torch.from_numpy(x) for x in _standardised(x_BL, known_B, asked_B)
    )
    target_B = torch.from_numpy(label_B[known_B])
    probe = torch.nn.Linear(known_BL.shape[1], int(label_B.max()) + 1)
    torch.nn.init.zeros_(probe.weight)
    optimizer = torch.optim.LBFGS(
        probe.parameters(), max_iter=200, line_search_fn="strong_wolfe"
    )

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        fit = torch.nn.functional.cross_entropy(probe(known_BL), target_B)
        total: torch.Tensor = fit + 1e-3 * probe.weight.square().sum()
        total.backward()  # type: ignore[no-untyped-call]
        return total

    optimizer.step(loss)  # type: ignore[no-untyped-call]
    found_B = probe(asked_BL).argmax(dim=1).numpy()
    return float(np.mean(found_B == label_B[asked_B]))


def _standardised(
    x_BL: FloatArray, known_B: BoolArray, asked_B: BoolArray
) -> tuple[FloatArray, FloatArray]:
    mean_L, std_L = x_BL[known_B].mean(axis=0), x_BL[known_B].std(axis=0) + 1e-9
    x_BL = ((x_BL - mean_L) / std_L).astype(np.float32)
    return x_BL[known_B], x_BL[asked_B]


def precisions(
    detector: Detector,
    normal: Recording,
    faults: list[Recording],
    latent: Project,
    pca: Project,
    seed: int,
) -> Iterator[float]:
    """Precision at five of incidents' likes: latent, PCA, sensors, both, and by chance."""
    looks: list[list[Look]] = [[], [], [], []]
    label: list[int] = []
    for number, series_NF in _spliced(detector, normal, faults, seed):
        scores = detector.score_series(series_NF)
        opened = [
            b
            for b, opens in transitions(scores.score_B, IncidentRule(2, 3, 15), UnitState())
            if opens and b + detector.window > BEFORE_ROWS
        ]
        if not opened:
            continue
        peak = opened[0] + int(scores.score_B[opened[0] :].argmax())
        window = cut_windows(series_NF[peak : peak + detector.window], detector.window)
        share_F = scores.contribution_BF[peak]
        sensors = [
            SensorPart(detector.sensors[f], float(share_F[f]), None, 0.0)
            for f in np.argsort(-share_F)[:N_SENSORS]
        ]
        by_latent, by_pca = latent(window)[0], pca(window)[0]
        for into, named_sensors, vector_L in (
            (looks[0], [], by_latent),
            (looks[1], [], by_pca),
            (looks[2], sensors, None),
            (looks[3], sensors, by_latent),
        ):
            into.append(_look(named_sensors, vector_L))
        label.append(number)
    of_fault = np.bincount(label)[label]
    for each in looks:
        yield _precision(each, np.array(label))
    yield float(np.mean((of_fault - 1) / (len(label) - 1)))


def _spliced(
    detector: Detector, normal: Recording, faults: list[Recording], seed: int
) -> Iterator[tuple[int, FloatArray]]:
    """Stretches of every fault, each after normal rows taken at random."""
    random = np.random.default_rng(seed)
    normal_NF = normal.columns(detector.sensors)
    for number, fault in enumerate(faults):
        values_NF = fault.columns(detector.sensors)
        for begin in range(FAULT_FROM, len(values_NF) - INCIDENT_ROWS + 1, INCIDENT_ROWS):
            first = int(random.integers(0, len(normal_NF) - BEFORE_ROWS))
            before_NF = normal_NF[first : first + BEFORE_ROWS]
            rows_NF = values_NF[begin : begin + INCIDENT_ROWS]
            yield number, np.concatenate([before_NF, rows_NF])


def _look(sensors: list[SensorPart], vector_L: FloatArray | None) -> Look:
    shares = np.array([part.contribution for part in sensors])
    length = float(np.linalg.norm(shares)) or 1.0
    by_name = {part.name: part.contribution / length for part in sensors}
    unit_L = None if vector_L is None else vector_L / np.linalg.norm(vector_L)
    return Look(by_name, unit_L, "")


def _precision(looks: list[Look], label_B: IntArray) -> float:
    likeness_BB = np.array([[similarity(a, b) for b in looks] for a in looks])
    np.fill_diagonal(likeness_BB, -np.inf)
    nearest_BN = np.argsort(-likeness_BB, axis=1, kind="stable")[:, :N_NEIGHBOURS]
    return float(np.mean(label_B[nearest_BN] == label_B[:, None]))


if __name__ == "__main__":
    typer.run(main)
