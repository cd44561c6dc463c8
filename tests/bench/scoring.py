"""`Scorer` against the bare forward pass of the same networks on ready-made tensors.

A forward pass reconstructs whole windows, in pieces of 1,024, which suit the caches.
`Scorer` decodes the newest row alone, where the family lets it; for that it also scales,
gathers windows, follows residuals over time and says which sensor it was.

Torch has one thread on both sides, as the worker does by default: the networks are small,
and a second thread takes the core that the client and the broker need.
"""

import time
from collections.abc import Callable

import numpy as np
import torch

from pipeline.detector.detector import Detector
from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.network import default_shape
from pipeline.detector.residual import ResidualScoring, Statistic
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.score import Scorer
from pipeline.window import Windows
from tests.bench.protocol import Goal, Line
from tests.bench.site import ENSEMBLE, Site
from tests.bench.stream import N_UNITS, SENSORS, series, unit_name
from trainer.settings import TrainerSettings
from trainer.surprise import STATISTICS
from trainer.train import FAMILIES_OF

WINDOW = 32
BATCHES = (1, 64, 1_024, 16_384)
PIECE_WINDOWS = 1_024
MEASURED_S = 0.12
"""Of each side, each time."""
MIN_REPEATS = 5


def run(site: Site) -> list[Line]:
    """Every family alone and the default ensemble, at every size of batch."""
    models = [*FAMILIES, ENSEMBLE]
    return [line(site, model, n_windows) for model in models for n_windows in BATCHES]


def untrained(model: str, statistics: tuple[Statistic, ...] | None = None) -> Detector:
    """A detector of the default sizes: what it says is of no use, what it costs is.

    Args:
        model: as `trainer fit` takes it.
        statistics: those of a trained detector where not given.
    """
    torch.manual_seed(0)
    shape = default_shape(WINDOW, len(SENSORS), TrainerSettings().folds)
    families = FAMILIES_OF.get(model, (model,))
    ones_F = np.ones(len(SENSORS), dtype=np.float32)
    if statistics is None:
        statistics = tuple(
            Statistic(kind, span, ones_F, np.zeros_like(ones_F), 100.0)
            for kind, span in STATISTICS
        )
    is_scored_F = np.ones(len(SENSORS), dtype=np.bool_)
    scaler = Scaler.fit(series(500, 1)[:, 0].astype(np.float32))
    return Detector(
        SENSORS,
        tuple(build_network(family, shape).eval() for family in families),
        Scaling(scaler),
        ResidualScoring(ones_F, is_scored_F, statistics),
        threshold=1.0,
    )


def windows_of_poll(n_windows: int) -> tuple[Windows, np.ndarray, list[str]]:
    """Windows as a poll gives them: each unit's readings together, windows that overlap.

    Returns:
        The windows, each one's row, and the names of the rows.
    """
    n_units = min(N_UNITS, n_windows)
    n_each = np.full(n_units, n_windows // n_units)
    n_each[: n_windows % n_units] += 1
    values_TUF = series(int(n_each.max()) + WINDOW - 1, n_units).astype(np.float32)
    parts = [values_TUF[: n + WINDOW - 1, unit] for unit, n in enumerate(n_each)]
    begin_U = np.cumsum([0, *(len(part) for part in parts[:-1])])
    start_B = np.concatenate(
        [begin + np.arange(n) for begin, n in zip(begin_U, n_each, strict=True)]
    )
    row_B = np.repeat(np.arange(n_units), n_each)
    windows = Windows(np.concatenate(parts), start_B, WINDOW)
    return windows, row_B, [unit_name(unit) for unit in range(n_units)]


def line(site: Site, model: str, n_windows: int) -> Line:
    """One model at one size of batch, an untrained one: it costs the same."""
    detector = untrained(model)
    windows, row_B, names = windows_of_poll(n_windows)
    scorer = Scorer(detector, torch.device("cpu"))
    # The same networks, on what they see of these windows.
    scaled_BTF = detector.scaling.scaled(windows.gather(slice(None)))
    x_BTF = torch.from_numpy(scaled_BTF).contiguous()
    pieces = torch.split(x_BTF, PIECE_WINDOWS)

    def ours() -> None:
        scorer.score(windows, row_B, names)

    def theirs() -> None:
        with torch.inference_mode():
            for network in detector.networks:
                for piece_BTF in pieces:
                    network.reconstruct(piece_BTF[None])

    measured_s = MEASURED_S * min(site.scale, 1.0)
    figures = [
        tuple(n_windows / _seconds_each(side, measured_s) for side in (ours, theirs))
        for _ in range(max(MIN_REPEATS, site.n_repeats))
    ]
    return Line(
        name=f"scoring {model}, {n_windows}",
        unit="windows/s",
        ours=[figure for figure, _ in figures],
        theirs=[figure for _, figure in figures],
        against="bare forward",
        goals=(Goal("ratio", ">=", 0.85),) if n_windows >= 1_024 else (),
    )


def _seconds_each(call: Callable[[], None], measured_s: float) -> float:
    """How long a call takes: the mean of as many as fit in `measured_s`, two at least."""
    call()
    n_calls = 0
    began_s = time.perf_counter()
    while (took_s := time.perf_counter() - began_s) < measured_s or n_calls < 2:
        call()
        n_calls += 1
    return took_s / n_calls
