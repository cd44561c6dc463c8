"""A network of each family, fitted on the same folds."""

from collections.abc import Callable
from dataclasses import replace

import torch

from pipeline.detector.families import build_network
from pipeline.detector.network import Network, NetworkShape, default_shape
from trainer.corrupt import parse_corrupt
from trainer.distributed import Ranks
from trainer.fit import Against, FitSettings, Losses, fit_network, number_of_steps
from trainer.labels.alike import contrast_share
from trainer.labels.events import Labels
from trainer.settings import TrainerSettings
from trainer.split import Folds


def fit_families(
    families: tuple[str, ...],
    folds: Folds,
    settings: TrainerSettings,
    device: torch.device,
    on_progress: Callable[[float, float], None],
    ranks: Ranks,
    labels: Labels | None = None,
) -> tuple[tuple[Network, ...], dict[str, Losses]]:
    """Fit a network of each family, with a member a fold.

    Args:
        families: keys of `FAMILIES`.
        folds: of scaled readings.
        settings: how.
        device: where, and where the networks are left.
        on_progress: told the share of all of it that is done, 0 to 1, and the last loss.
        ranks: the processes that fit them together.
        labels: what is known to be anomalous, over scaled readings.

    Returns:
        The networks, and each family's losses.

    Raises:
        InputError: see `fit_network`.
    """
    shape = _shape(settings, folds)
    training = [fold.training for fold in folds.folds]
    against = None if labels is None else _against(labels, folds)
    networks: list[Network] = []
    losses: dict[str, Losses] = {}
    for number, family in enumerate(families):
        torch.manual_seed(settings.seed)
        network = build_network(family, shape)
        parts = parse_corrupt(settings.corrupt)
        network.corruption = replace(network.corruption, **parts)

        def tell(done: float, loss: float, number: int = number) -> None:
            on_progress((number + done) / len(families), loss)

        losses[family] = fit_network(
            network, training, _fit_settings(settings), device, tell, ranks, against
        )
        networks.append(network.to(device))
    return tuple(networks), losses


def _against(labels: Labels, folds: Folds) -> Against | None:
    """What members are held against; None where nothing speaks for it."""
    n_members = len(folds.folds)
    shown = [labels.shown_to(member, n_members) for member in range(n_members)]
    windows = [part for part in shown if part is not None]
    share = contrast_share(labels, folds)
    return Against(windows, share) if len(windows) == n_members and share > 0.0 else None


def steps_of_family(folds: Folds, settings: TrainerSettings) -> int:
    """Mini-batches that each network is fitted on."""
    return number_of_steps([f.training for f in folds.folds], _fit_settings(settings))


def _shape(settings: TrainerSettings, folds: Folds) -> NetworkShape:
    n_sensors = folds.folds[0].training.flat_MF.shape[1]
    by_rule = default_shape(settings.window, n_sensors, len(folds.folds))
    return replace(
        by_rule,
        hidden=settings.hidden or by_rule.hidden,
        latent=settings.latent or by_rule.latent,
    )


def _fit_settings(settings: TrainerSettings) -> FitSettings:
    return FitSettings(
        steps=settings.steps,
        epochs=settings.epochs,
        batch_windows=settings.batch_windows,
        learning_rate=settings.learning_rate,
        seed=settings.seed,
    )
