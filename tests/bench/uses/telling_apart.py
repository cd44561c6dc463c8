"""How well classifiers tell real windows from others: 0.5 is not at all, 1.0 always."""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipeline.records import FloatArray

Array = npt.NDArray[np.float64]

N_WINDOWS = 400
"""Of each kind to learn from, and as many to be asked about."""
CLIP = 10.0
LAGS = (1, 2, 4, 8)
MAX_PAIRS = 150
N_STEPS = 150
N_ROUNDS = 80
N_BINS = 32
SHRINK = 0.3
RIDGE = 5.0
NAMES = ("boosted", "dense", "convolutional")


def areas(real: Sequence[FloatArray], other_BTF: FloatArray, seed: int) -> dict[str, float]:
    """Area under the ROC curve of each classifier on windows that it did not learn from.

    Args:
        real: real windows of two parts of the history, so that those asked about are no
            neighbours of those learned from; each part is learned from once.
        other_BTF: the others, drawn independently or, of a series, in its order.
        seed: of what is drawn and of the classifiers.
    """
    random = np.random.default_rng(seed)
    halves = np.array_split(other_BTF, 2)
    n = min(N_WINDOWS, *(len(part) for part in (*real, *halves)))
    real, others = (
        [
            np.clip(part[random.choice(len(part), n, replace=False)], -CLIP, CLIP)
            for part in of
        ]
        for of in (real, halves)
    )
    is_other_B = np.repeat([0.0, 1.0], n)
    found: dict[str, list[float]] = {name: [] for name in NAMES}
    for known, asked in ((0, 1), (1, 0)):
        x, y = (np.concatenate([real[i], others[i]]) for i in (known, asked))
        f, g = features(x), features(y)
        scores = {
            "boosted": boosted(f, is_other_B, g),
            "dense": _trained(_dense(f.shape[1]), *_standardised(f, g), is_other_B, seed),
            "convolutional": _trained(Convolutional(x.shape[2]), x, y, is_other_B, seed),
        }
        for name, score_B in scores.items():
            found[name].append(area(score_B, is_other_B))
    return {name: float(np.mean(values)) for name, values in found.items()}


def area(score_B: Array, is_other_B: Array) -> float:
    """Area under the ROC curve; equal scores count half."""
    _, level_B, n_L = np.unique(score_B, return_inverse=True, return_counts=True)
    rank_B = (np.cumsum(n_L) - (n_L - 1) / 2)[level_B]
    n_others = is_other_B.sum()
    n_real = len(is_other_B) - n_others
    above = rank_B[is_other_B == 1].sum() - n_others * (n_others + 1) / 2
    return float(above / (n_others * n_real))


def features(x_BTF: FloatArray) -> Array:
    """What is telling of a window: levels, spreads, steps, stillness, correlations."""
    x_BTF = x_BTF.astype(np.float64)
    step_BTF = np.diff(x_BTF, axis=1)
    mean_BF, std_BF = x_BTF.mean(axis=1), x_BTF.std(axis=1) + 1e-3
    unit_BTF = (x_BTF - mean_BF[:, None]) / std_BF[:, None]
    left, right = np.triu_indices(x_BTF.shape[2], 1)
    pairs = np.random.default_rng(0).permutation(len(left))[:MAX_PAIRS]
    correlation_BP = np.stack(
        [(unit_BTF[:, :, left[p]] * unit_BTF[:, :, right[p]]).mean(axis=1) for p in pairs],
        axis=1,
    )
    columns = [
        mean_BF,
        std_BF,
        np.log(std_BF),
        x_BTF.min(axis=1),
        x_BTF.max(axis=1),
        step_BTF.std(axis=1),
        np.log(step_BTF.std(axis=1) + 1e-3),
        np.abs(step_BTF).max(axis=1),
        (np.abs(step_BTF) < 1e-6).mean(axis=1),
        np.diff(step_BTF, axis=1).std(axis=1),
        (unit_BTF**3).mean(axis=1),
        (unit_BTF**4).mean(axis=1),
        *((unit_BTF[:, :-lag] * unit_BTF[:, lag:]).mean(axis=1) for lag in LAGS),
        correlation_BP,
    ]
    return np.concatenate(columns, axis=1)


def boosted(x_BC: Array, is_other_B: Array, asked_BC: Array) -> Array:
    """Log-odds by boosted decision stumps.

    Source: Friedman (2001), doi:10.1214/aos/1013203451.
    """
    edges = np.quantile(x_BC, np.linspace(0, 1, N_BINS + 1)[1:-1], axis=0)
    bin_BC, asked_bin_BC = (_binned(part, edges) for part in (x_BC, asked_BC))
    n, n_columns = bin_BC.shape
    flat = (bin_BC + N_BINS * np.arange(n_columns)).ravel()
    score_B, asked_B = np.zeros(n), np.zeros(len(asked_BC))
    for _ in range(N_ROUNDS):
        p_B = 1 / (1 + np.exp(-score_B))
        slope_B, bend_B = is_other_B - p_B, p_B * (1 - p_B)
        slope_CK, bend_CK = (
            np.bincount(flat, np.repeat(v, n_columns), n_columns * N_BINS)
            .reshape(n_columns, N_BINS)
            .cumsum(axis=1)
            for v in (slope_B, bend_B)
        )
        low, low_bend = slope_CK[:, :-1], bend_CK[:, :-1]
        high, high_bend = slope_CK[:, -1:] - low, bend_CK[:, -1:] - low_bend
        gain = low**2 / (low_bend + RIDGE) + high**2 / (high_bend + RIDGE)
        c, k = np.unravel_index(int(gain.argmax()), gain.shape)
        steps = (
            SHRINK * low[c, k] / (low_bend[c, k] + RIDGE),
            SHRINK * high[c, k] / (high_bend[c, k] + RIDGE),
        )
        score_B += np.where(bin_BC[:, c] <= k, *steps)
        asked_B += np.where(asked_bin_BC[:, c] <= k, *steps)
    return asked_B


def _binned(x_BC: Array, edges: Array) -> npt.NDArray[np.int64]:
    columns = range(x_BC.shape[1])
    return np.stack(
        [np.searchsorted(edges[:, c], x_BC[:, c], side="right") for c in columns], axis=1
    )


def _standardised(x_BC: Array, asked_BC: Array) -> tuple[Array, Array]:
    mean_C, std_C = x_BC.mean(axis=0), x_BC.std(axis=0) + 1e-6
    return np.clip((x_BC - mean_C) / std_C, -5, 5), np.clip(
        (asked_BC - mean_C) / std_C, -5, 5
    )


def _dense(n_inputs: int) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(
        nn.Dropout(0.1),
        nn.Linear(n_inputs, 64),
        nn.ReLU(),
        nn.Dropout(0.3),
        nn.Linear(64, 1),
    )


class Convolutional:
    """Builds a convolutional classifier of windows and their steps."""

    def __init__(self, n_sensors: int) -> None:
        self._n_sensors = n_sensors

    def __call__(self) -> nn.Module:
        return _ConvolutionalNetwork(self._n_sensors)


class _ConvolutionalNetwork(nn.Module):
    def __init__(self, n_sensors: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(2 * n_sensors, 48, 3),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Conv1d(48, 48, 3, stride=2),
            nn.ReLU(),
        )
        self.last = nn.Sequential(nn.Dropout(0.3), nn.Linear(96, 1))

    def forward(self, x_BTF: Tensor) -> Tensor:
        x_BFT = x_BTF.transpose(1, 2)
        step_BFT = nn.functional.pad(x_BFT.diff(dim=2), (1, 0))
        found = self.layers(torch.cat([x_BFT, step_BFT], dim=1))
        last: Tensor = self.last(torch.cat([found.mean(dim=2), found.amax(dim=2)], dim=1))
        return last


def _trained(
    build: Callable[[], nn.Module],
    x: npt.NDArray[np.floating],
    asked: npt.NDArray[np.floating],
    is_other_B: Array,
    seed: int,
) -> Array:
    """What a network says of `asked` that has learned from `x`."""
    torch.manual_seed(seed)
    network = build().train()
    inputs = torch.from_numpy(x.astype(np.float32))
    wanted_B = torch.from_numpy(is_other_B.astype(np.float32))
    rate = 2e-3
    optimizer = torch.optim.AdamW(network.parameters(), rate, weight_decay=1e-2)
    for step in range(N_STEPS):
        batch = torch.randint(len(inputs), (128,))
        loss = nn.functional.binary_cross_entropy_with_logits(
            network(inputs[batch])[:, 0], wanted_B[batch]
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        for group in optimizer.param_groups:
            group["lr"] = rate * (1 - step / N_STEPS)
    with torch.inference_mode():
        scores = network.eval()(torch.from_numpy(asked.astype(np.float32)))[:, 0]
    return np.asarray(scores.numpy(), dtype=np.float64)
