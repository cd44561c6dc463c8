"""Fitting a network: mini-batches cut lazily, early stopping on the validation part."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from pipeline.detector.detector import scaled
from pipeline.detector.network import Network
from pipeline.detector.scaler import Scaler
from pipeline.errors import InputError
from pipeline.window import Windows

MAX_GRADIENT_NORM = 5.0


@dataclass(frozen=True, slots=True)
class FitSettings:
    """How long and in what steps to train. See `TrainerSettings` for each."""

    epochs: int
    patience: int
    warmup_epochs: int
    batch_windows: int
    epoch_windows: int
    learning_rate: float
    seed: int


@dataclass(frozen=True, slots=True)
class Epoch:
    """One pass over the training windows."""

    number: int
    """From 1."""
    training_loss: float
    """Mean over the epoch's windows, with the warm-up's weight."""
    validation_loss: float
    """At full weight."""
    is_best: bool


@dataclass(frozen=True, slots=True)
class Fitted:
    """What training came to. The network holds the best epoch's weights."""

    epochs: list[Epoch]
    best: Epoch


def fit_network(
    network: Network,
    scaler: Scaler,
    training: Windows,
    validation: Windows,
    settings: FitSettings,
    device: torch.device,
    on_progress: Callable[[float, Epoch | None], None],
) -> Fitted:
    """Train `network` in place on `device`, and leave it on the CPU.

    Args:
        network: freshly built.
        scaler: fitted on the training part.
        training: windows to learn from; only a mini-batch of them exists at a time.
        validation: windows that say when to stop.
        settings: how long and in what steps.
        device: where to compute.
        on_progress: called often with the epochs done so far, as a fraction, and with the
            last whole one; what it raises ends the training.

    Raises:
        InputError: the loss is not finite: the learning rate is too large.
    """
    torch.manual_seed(settings.seed)
    random = np.random.default_rng(settings.seed)
    network.to(device).train()
    optimizer = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    epochs: list[Epoch] = []
    best: Epoch | None = None
    best_weights: dict[str, Tensor] = {}
    n_windows = min(len(training), settings.epoch_windows)
    for number in range(1, settings.epochs + 1):
        order = random.permutation(len(training))[:n_windows]
        warmup = min(number / (settings.warmup_epochs + 1), 1.0)
        total_loss = 0.0
        for begin in range(0, n_windows, settings.batch_windows):
            index = order[begin : begin + settings.batch_windows]
            loss = network.loss(*_batch(training, index, scaler, device), warmup)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(network.parameters(), MAX_GRADIENT_NORM)
            optimizer.step()
            total_loss += loss.item() * len(index)
            on_progress(
                number - 1 + (begin + len(index)) / n_windows,
                epochs[-1] if epochs else None,
            )
        validation_loss = _validation_loss(network, scaler, validation, settings, device)
        if not math.isfinite(total_loss) or not math.isfinite(validation_loss):
            raise InputError(
                f"the loss became {total_loss} in epoch {number}; "
                f"try a smaller learning rate than {settings.learning_rate:g}"
            )
        # Before the warm-up is over the objective is still another one.
        is_comparable = warmup == 1.0 or number == settings.epochs
        is_best = is_comparable and (best is None or validation_loss < best.validation_loss)
        epoch = Epoch(number, total_loss / n_windows, validation_loss, is_best)
        epochs.append(epoch)
        if is_best:
            best = epoch
            best_weights = {k: v.clone() for k, v in network.state_dict().items()}
        if best is not None and number - best.number >= settings.patience:
            break
    if best is None:
        raise AssertionError("the last epoch is comparable, so one of them is best")
    network.load_state_dict(best_weights)
    network.cpu().eval()
    return Fitted(epochs, best)


def _validation_loss(
    network: Network,
    scaler: Scaler,
    validation: Windows,
    settings: FitSettings,
    device: torch.device,
) -> float:
    """Mean loss over the validation windows, with the same noise in every epoch."""
    n_windows = min(len(validation), settings.epoch_windows)
    index = np.linspace(0, len(validation) - 1, n_windows).astype(np.int64)
    devices = [device] if device.type == "cuda" else []
    total = 0.0
    network.eval()
    with torch.random.fork_rng(devices=devices), torch.inference_mode():
        torch.manual_seed(settings.seed)
        for begin in range(0, n_windows, 1024):
            batch = _batch(validation, index[begin : begin + 1024], scaler, device)
            total += network.loss(*batch, warmup=1.0).item() * len(batch[0])
    network.train()
    return total / n_windows


def _batch(
    windows: Windows, index: np.ndarray, scaler: Scaler, device: torch.device
) -> tuple[Tensor, Tensor]:
    return scaled(torch.from_numpy(windows.gather(index)).to(device), scaler)
