"""Fitting the networks of one family: all members at once, mini-batches cut lazily."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.network import Network
from pipeline.errors import InputError
from pipeline.window import Windows
from trainer.batches import Batches
from trainer.distributed import ALONE, Ranks

MAX_GRADIENT_NORM = 5.0
RISE_SHARE = 0.1
"""Of the steps, over which the step size rises to its full length; then it falls to 0."""
WARMUP_SHARE = 0.2
"""Of the steps, over which the KL term of a VAE grows to its full weight."""
REPORT_STEPS = 20
N_CURVE = 50
CONTRAST = 0.1
"""Weight of the loss of labelled windows beside that of the others."""
LABELLED_SHARE = 4
"""Of a mini-batch's windows, one in so many again are labelled ones."""


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How long and in what steps to train. See `TrainerSettings` for each."""

    steps: int
    epochs: int
    batch_windows: int
    learning_rate: float
    seed: int


class Losses(NamedTuple):
    """Of a training, the mean over members and mini-batches."""

    last: float
    """Of the last tenth of the steps."""
    curve: list[float]
    """Of `N_CURVE` equal parts of the steps, in their order."""


class Against(NamedTuple):
    """What training holds against normal windows."""

    windows: Sequence[Windows]
    """Each member's labelled anomalies, at least one."""
    share: float
    """Of `CONTRAST`, 0 to 1."""


def fit_network(
    network: Network,
    training: Sequence[Windows],
    settings: FitSettings,
    device: torch.device,
    on_progress: Callable[[float, float], None],
    ranks: Ranks = ALONE,
    against: Against | None = None,
) -> Losses:
    """Train `network` in place on `device`, and leave it on the CPU.

    The number of steps is set beforehand and the step size follows one cycle over them:
    how long it takes is known, and no part of the history is given up to say when to stop.
    Source: Smith & Topin (2018), arXiv:1708.07120.

    Args:
        network: freshly built.
        training: each member's windows of scaled readings, NaN where missing; only a
            mini-batch of them exists at a time.
        settings: how long and in what steps.
        device: where to compute.
        on_progress: told the share of steps done, 0 to 1, and the mean loss since it was
            told before; what it raises ends the training.
        ranks: the processes that train this network together.
        against: windows that are known to be anomalous. In each step some of them are held
            against the others, see `Network.anomaly_loss`.

    Raises:
        InputError: the loss is not finite: the learning rate is too large. Or there are
            more processes than windows in a mini-batch.
    """
    # Each process draws the same mini-batches, and noise of its own.
    torch.manual_seed(settings.seed + ranks.rank)
    network.to(device).train()
    objective = ranks.objective(network, device)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=settings.learning_rate, fused=True
    )
    n_steps = number_of_steps(training, settings)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=n_steps + 1, pct_start=RISE_SHARE
    )
    batches = Batches(training, settings.batch_windows, settings.seed, device, ranks)
    labelled = None if against is None else _batches_of(against, settings, device, ranks)
    losses: list[float] = []
    since_told: list[Tensor] = []
    for step in range(n_steps):
        batch = batches.draw()
        warmup = min((step + 1) / (WARMUP_SHARE * n_steps), 1.0)
        anomalous = None if labelled is None else labelled.draw()
        pair = None if anomalous is None else (anomalous.x_MBTF, anomalous.observed_MBTF)
        loss_M, anomaly_loss_M = objective(batch.x_MBTF, batch.observed_MBTF, warmup, pair)
        loss_M = loss_M * batch.weight_M
        total = loss_M.sum()
        if anomaly_loss_M is not None and against is not None:
            # Once the network knows what normal is: before, every error is large.
            total = total + CONTRAST * against.share * warmup * anomaly_loss_M.sum()
        optimizer.zero_grad(set_to_none=True)
        # The sum: each member's gradient is its own, whatever the others do.
        total.backward()
        _clip_gradients(network)
        optimizer.step()
        cycle.step()
        since_told.append(loss_M.detach().mean())
        # Not in each step: to look at a loss is to wait for the device.
        if (step + 1) % REPORT_STEPS == 0 or step + 1 == n_steps:
            losses += (ranks.total(torch.stack(since_told)) / ranks.n_ranks).tolist()
            _check_finite(losses, len(since_told), settings)
            on_progress((step + 1) / n_steps, float(np.mean(losses[-len(since_told) :])))
            since_told.clear()
    network.cpu().eval()
    return Losses(
        last=float(np.mean(losses[-max(n_steps // 10, 1) :])),
        curve=[
            float(part.mean()) for part in np.array_split(losses, min(n_steps, N_CURVE))
        ],
    )


def _batches_of(
    against: Against, settings: FitSettings, device: torch.device, ranks: Ranks
) -> Batches:
    """Mini-batches of labelled windows, drawn apart: the others stay what they were."""
    n_windows = max(settings.batch_windows // LABELLED_SHARE, ranks.n_ranks)
    return Batches(against.windows, n_windows, settings.seed + 1, device, ranks)


def _check_finite(losses: list[float], n_new: int, settings: FitSettings) -> None:
    """Raise InputError if one of the last `n_new` losses is not finite."""
    for step in range(len(losses) - n_new, len(losses)):
        if not math.isfinite(losses[step]):
            raise InputError(
                f"the loss became {losses[step]} in step {step + 1}; "
                f"try a smaller learning rate than {settings.learning_rate:g}"
            )


def _clip_gradients(network: Network) -> None:
    """Shorten each member's gradient to `MAX_GRADIENT_NORM`, if it is longer."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    norms = [torch.linalg.vector_norm(g.reshape(len(g), -1), dim=1) for g in gradients]
    norm_M = torch.linalg.vector_norm(torch.stack(norms), dim=0)
    factor_M = (MAX_GRADIENT_NORM / norm_M.clamp(min=1e-12)).clamp(max=1.0)
    for gradient in gradients:
        gradient *= factor_M.view(-1, *[1] * (gradient.dim() - 1))


def number_of_steps(training: Sequence[Windows], settings: FitSettings) -> int:
    """Mini-batches of training: as set, or fewer if that many epochs hold fewer."""
    largest = max(len(windows) for windows in training)
    steps_per_epoch = math.ceil(largest / settings.batch_windows)
    return min(settings.steps, settings.epochs * steps_per_epoch)
