"""Fitting a network: it learns, stops in time and keeps the best."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.network import Errors, Network, NetworkShape
from pipeline.detector.scaler import Scaler
from pipeline.detector.variational import VariationalAutoencoder
from pipeline.errors import InputError
from pipeline.window import Windows, cut_windows
from tests.builders import sensor_series
from trainer.fit import Epoch, FitSettings, Fitted, fit_network

SHAPE = NetworkShape(window=8, n_sensors=3, hidden=16, latent=4)
SETTINGS = FitSettings(
    epochs=15,
    patience=15,
    warmup_epochs=3,
    batch_windows=64,
    epoch_windows=10_000,
    learning_rate=3e-3,
    seed=0,
)


def no_one_listens(fraction: float, epoch: Epoch | None) -> None:
    """Progress that is not shown."""


def fitted(
    network: Network,
    settings: FitSettings = SETTINGS,
    training: Windows | None = None,
) -> Fitted:
    series_NF = sensor_series(1_000)
    return fit_network(
        network,
        Scaler.fit(series_NF),
        training or cut_windows(series_NF[:700], SHAPE.window),
        cut_windows(series_NF[710:], SHAPE.window),
        settings,
        torch.device("cpu"),
        no_one_listens,
    )


class Rising(Network):
    """One weight that training moves up by a learning rate a step; `best` is where it

    validates best.
    """

    def __init__(self, best: float) -> None:
        super().__init__(SHAPE)
        self.weight = nn.Parameter(torch.zeros(()))
        self.best = best

    def loss(self, x_BTF: Tensor, observed_BTF: Tensor, warmup: float) -> Tensor:
        return -self.weight if self.training else torch.square(self.weight - self.best)

    def errors(self, x_BTF: Tensor, observed_BTF: Tensor) -> Errors:
        raise NotImplementedError


# One step of 1.0 an epoch, so the weight after epoch n is n.
A_STEP_AN_EPOCH = replace(
    SETTINGS, learning_rate=1.0, batch_windows=10_000, warmup_epochs=0, patience=3
)


def test_the_best_epochs_weights_are_kept() -> None:
    network = Rising(best=5.2)

    outcome = fitted(network, A_STEP_AN_EPOCH)

    assert outcome.best.number == 5
    assert network.weight.item() == pytest.approx(5.0, abs=1e-3)
    assert outcome.best.validation_loss == pytest.approx(0.04, abs=1e-2)
    assert not network.training


def test_training_stops_when_so_many_epochs_were_no_better() -> None:
    outcome = fitted(Rising(best=5.2), A_STEP_AN_EPOCH)

    assert [epoch.number for epoch in outcome.epochs] == list(range(1, 9))
    assert [epoch.is_best for epoch in outcome.epochs] == [True] * 5 + [False] * 3


def test_training_stops_at_the_last_epoch() -> None:
    outcome = fitted(Rising(best=1e6), replace(A_STEP_AN_EPOCH, epochs=4))

    assert outcome.best.number == len(outcome.epochs) == 4


def test_an_epoch_within_the_warm_up_is_never_the_best() -> None:
    outcome = fitted(Rising(best=0.0), replace(A_STEP_AN_EPOCH, warmup_epochs=6))

    assert outcome.best.number == 7


def test_a_training_that_ends_within_the_warm_up_keeps_its_last_epoch() -> None:
    settings = replace(A_STEP_AN_EPOCH, epochs=3, warmup_epochs=10)

    assert fitted(Rising(best=0.0), settings).best.number == 3


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_loss_falls(family: str) -> None:
    network = build_network(family, SHAPE)

    outcome = fitted(network)

    first, last = outcome.epochs[0], outcome.epochs[-1]
    assert last.training_loss < first.training_loss
    assert outcome.best.validation_loss < first.validation_loss - 0.1


def test_the_latent_space_of_a_variational_autoencoder_does_not_collapse() -> None:
    network = VariationalAutoencoder(SHAPE)
    series_NF = sensor_series(1_000)

    fitted(network)

    scaled_NF = (series_NF - series_NF.mean(axis=0)) / series_NF.std(axis=0)
    windows_BTF = cut_windows(scaled_NF, SHAPE.window).gather(slice(None))
    with torch.inference_mode():
        mean_BL, _ = network.encode(torch.from_numpy(np.ascontiguousarray(windows_BTF)))
    # A latent value in use moves with the window; a collapsed one stays at the prior's 0.
    assert (mean_BL.std(dim=0) > 0.5).sum() >= 2


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_the_same_seed_gives_the_same_weights(family: str) -> None:
    def weights(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(7)
        network = build_network(family, SHAPE)
        fitted(network, replace(SETTINGS, epochs=2, seed=seed))
        return network.state_dict()

    first, again, other = weights(1), weights(1), weights(2)

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_an_epoch_takes_a_sample_of_a_long_history() -> None:
    seen: list[float] = []
    network = Rising(best=1e6)
    settings = replace(SETTINGS, epochs=1, epoch_windows=100, batch_windows=25)

    fit_network(
        network,
        Scaler.fit(sensor_series(10)),
        cut_windows(sensor_series(500), SHAPE.window),
        cut_windows(sensor_series(500), SHAPE.window),
        settings,
        torch.device("cpu"),
        lambda fraction, epoch: seen.append(fraction),
    )

    assert seen == [0.25, 0.5, 0.75, 1.0]


def test_progress_tells_of_the_epochs_done_and_of_the_last_whole_one() -> None:
    told: list[tuple[float, int | None]] = []
    fit_network(
        Rising(best=1e6),
        Scaler.fit(sensor_series(10)),
        cut_windows(sensor_series(100), SHAPE.window),
        cut_windows(sensor_series(100), SHAPE.window),
        replace(SETTINGS, epochs=3, batch_windows=1_000),
        torch.device("cpu"),
        lambda fraction, epoch: told.append((fraction, epoch.number if epoch else None)),
    )

    assert told == [(1.0, None), (2.0, 1), (3.0, 2)]


def test_what_progress_raises_ends_the_training() -> None:
    def interrupt(fraction: float, epoch: Epoch | None) -> None:
        raise KeyboardInterrupt

    series = cut_windows(sensor_series(100), SHAPE.window)
    with pytest.raises(KeyboardInterrupt):
        fit_network(
            Rising(best=1.0),
            Scaler.fit(sensor_series(10)),
            series,
            series,
            SETTINGS,
            torch.device("cpu"),
            interrupt,
        )


def test_a_loss_that_is_not_finite_names_the_learning_rate() -> None:
    with pytest.raises(InputError, match="smaller learning rate than 1e\\+30"):
        fitted(Rising(best=1.0), replace(A_STEP_AN_EPOCH, learning_rate=1e30))
