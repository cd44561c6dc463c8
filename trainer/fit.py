"""Fitting the networks of one family: all members at once, mini-batches cut lazily."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.filling import filled
from pipeline.detector.network import Network
from pipeline.errors import InputError
from pipeline.window import Windows

MAX_GRADIENT_NORM = 5.0
RISE_SHARE = 0.1
"""Of the steps, over which the step size rises to its full length; then it falls to 0."""
WARMUP_SHARE = 0.2
"""Of the steps, over which the KL term of a VAE grows to its full weight."""
REPORT_STEPS = 20


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How long and in what steps to train. See `TrainerSettings` for each."""

    steps: int
    epochs: int
    batch_windows: int
    learning_rate: float
    seed: int


def fit_network(
    network: Network,
    training: Sequence[Windows],
    settings: FitSettings,
    device: torch.device,
    on_progress: Callable[[float, float], None],
) -> float:
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

    Returns:
        The mean loss of the last tenth of the steps.

    Raises:
        InputError: the loss is not finite: the learning rate is too large.
    """
    torch.manual_seed(settings.seed)
    random = np.random.default_rng(settings.seed)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    n_steps = number_of_steps(training, settings)
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, settings.learning_rate, total_steps=n_steps + 1, pct_start=RISE_SHARE
    )
    losses: list[float] = []
    for step in range(n_steps):
        batch = [
            windows.gather(random.integers(0, len(windows), settings.batch_windows))
            for windows in training
        ]
        x_MBTF, observed_MBTF = _filled(np.stack(batch), device)
        warmup = min((step + 1) / (WARMUP_SHARE * n_steps), 1.0)
        loss_M = network.loss(x_MBTF, observed_MBTF, warmup)
        optimizer.zero_grad(set_to_none=True)
        # The sum: each member's gradient is its own, whatever the others do.
        loss_M.sum().backward()  # type: ignore[no-untyped-call]
        _clip_gradients(network)
        optimizer.step()
        cycle.step()
        losses.append(float(loss_M.mean().item()))
        if not math.isfinite(losses[-1]):
            raise InputError(
                f"the loss became {losses[-1]} in step {step + 1}; "
                f"try a smaller learning rate than {settings.learning_rate:g}"
            )
        if (step + 1) % REPORT_STEPS == 0 or step + 1 == n_steps:
            on_progress((step + 1) / n_steps, float(np.mean(losses[-REPORT_STEPS:])))
    network.cpu().eval()
    return float(np.mean(losses[-max(n_steps // 10, 1) :]))


def _clip_gradients(network: Network) -> None:
    """Shorten each member's gradient to `MAX_GRADIENT_NORM`, if it is longer."""
    gradients = [p.grad for p in network.parameters() if p.grad is not None]
    squares = [
        gradient.reshape(len(gradient), -1).square().sum(dim=1) for gradient in gradients
    ]
    norm_M = torch.stack(squares).sum(dim=0).sqrt()
    factor_M = (MAX_GRADIENT_NORM / norm_M.clamp(min=1e-12)).clamp(max=1.0)
    for gradient in gradients:
        gradient *= factor_M.view(-1, *[1] * (gradient.dim() - 1))


def number_of_steps(training: Sequence[Windows], settings: FitSettings) -> int:
    """Mini-batches of training: as set, or fewer if that many epochs hold fewer."""
    largest = max(len(windows) for windows in training)
    steps_per_epoch = math.ceil(largest / settings.batch_windows)
    return min(settings.steps, settings.epochs * steps_per_epoch)


def _filled(x_MBTF: np.ndarray, device: torch.device) -> tuple[Tensor, Tensor]:
    shape = x_MBTF.shape
    x_BTF = torch.from_numpy(x_MBTF.reshape(-1, *shape[2:])).to(device)
    filled_BTF, observed_BTF = filled(x_BTF)
    return filled_BTF.view(shape), observed_BTF.view(shape)
