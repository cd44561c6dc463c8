"""Fitting the networks of a family: all members at once, in a set number of steps."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from pipeline.detector.families import FAMILIES, build_network
from pipeline.detector.network import Network, NetworkShape
from pipeline.detector.variational import VariationalAutoencoder
from pipeline.errors import InputError
from pipeline.window import Windows, cut_windows
from tests.builders import sensor_series
from tests.trainer.training import no_one_listens
from trainer.fit import REPORT_STEPS, FitSettings, fit_network, number_of_steps

N_MEMBERS = 2
SHAPE = NetworkShape(window=8, n_sensors=3, hidden=16, latent=4, n_members=N_MEMBERS)
SETTINGS = FitSettings(steps=60, epochs=10**9, batch_windows=64, learning_rate=1e-2, seed=0)
RAW_NF = sensor_series(1_000)
SERIES_NF = (RAW_NF - RAW_NF.mean(axis=0)) / RAW_NF.std(axis=0)
HALVES = [cut_windows(SERIES_NF[:490], 8), cut_windows(SERIES_NF[510:], 8)]
each_family = pytest.mark.parametrize("family", sorted(FAMILIES))


def fitted(
    network: Network,
    settings: FitSettings = SETTINGS,
    training: Sequence[Windows] = HALVES,
    on_progress: Callable[[float, float], None] = no_one_listens,
) -> float:
    device = torch.device("cpu")
    return fit_network(network, training, settings, device, on_progress).last


class Recording(Network):
    """A weight a member, and all that training asks of it."""

    def __init__(self, loss: float = 1.0) -> None:
        super().__init__(SHAPE)
        self.weight_M = nn.Parameter(torch.zeros(N_MEMBERS))
        self.constant = loss
        self.seen: list[Tensor] = []
        self.observed: list[Tensor] = []
        self.warmups: list[float] = []

    def loss(self, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float) -> Tensor:
        assert self.training
        self.seen.append(x_MBTF)
        self.observed.append(observed_MBTF)
        self.warmups.append(warmup)
        return self.constant - self.weight_M

    def encode(self, x_MBTF: Tensor) -> Tensor:
        raise NotImplementedError

    def decode(self, latent_MBL: Tensor) -> Tensor:
        raise NotImplementedError


def test_training_takes_as_many_steps_as_are_set() -> None:
    network = Recording()

    fitted(network, replace(SETTINGS, steps=37))

    assert len(network.seen) == 37
    assert {tuple(x.shape) for x in network.seen} == {(N_MEMBERS, 64, 8, 3)}
    assert not network.training


@pytest.mark.parametrize(("epochs", "expected"), [(1, 8), (7, 56), (8, 60), (1_000, 60)])
def test_epochs_only_ever_make_it_shorter(epochs: int, expected: int) -> None:
    # The larger of the members' 500 and 10 windows make 8 mini-batches of 64.
    training = [cut_windows(SERIES_NF[:507], 8), cut_windows(SERIES_NF[:17], 8)]

    assert number_of_steps(training, replace(SETTINGS, epochs=epochs)) == expected


def test_each_member_sees_its_own_windows_alone() -> None:
    training = [
        cut_windows(np.full((50, 3), level, dtype=np.float32), 8) for level in (1.0, 2.0)
    ]
    network = Recording()

    fitted(network, training=training)

    seen_MSV = torch.stack(network.seen).transpose(0, 1).reshape(N_MEMBERS, -1, 3)
    assert (seen_MSV[0] == 1.0).all()
    assert (seen_MSV[1] == 2.0).all()


def test_a_member_learns_nothing_from_the_others_windows() -> None:
    def first_member(second: Windows) -> dict[str, Tensor]:
        torch.manual_seed(7)
        network = build_network("ae", SHAPE)
        fitted(network, training=[HALVES[0], second])
        return network.member(0).state_dict()

    # Gradients so long that they are shortened.
    wild = cut_windows(1e3 * SERIES_NF[510:], 8)
    one, other = first_member(HALVES[1]), first_member(wild)

    for name, weights in one.items():
        torch.testing.assert_close(weights, other[name], rtol=1e-3, atol=1e-6)


def test_what_was_missing_is_told_to_the_loss() -> None:
    values_NF = SERIES_NF.copy()
    values_NF[:, 1] = np.nan
    network = Recording()

    fitted(network, training=[cut_windows(values_NF, 8)] * 2)

    observed = torch.stack(network.observed)
    assert (observed[..., 1] == 0.0).all()
    assert (observed[..., [0, 2]] == 1.0).all()
    assert torch.isfinite(torch.stack(network.seen)).all()


def test_the_warm_up_rises_over_a_fifth_of_the_steps_to_1_and_stays() -> None:
    network = Recording()

    fitted(network, replace(SETTINGS, steps=50))

    assert network.warmups[:10] == pytest.approx(np.arange(1, 11) / 10)
    assert set(network.warmups[9:]) == {1.0}


def test_the_step_size_rises_and_falls_back_to_next_to_nothing() -> None:
    network = Recording()
    weights = []

    def tell(done: float, loss: float) -> None:
        weights.append(float(network.weight_M[0].detach()))

    fitted(network, replace(SETTINGS, steps=200, learning_rate=1.0), on_progress=tell)

    # The gradient is steady, so that Adam moves by the step size.
    moved = np.diff([0.0, *weights]) / REPORT_STEPS
    assert moved.argmax() in (0, 1, 2)
    assert 0.8 < moved.max() <= 1.001
    assert moved[-1] < 0.05
    assert sorted(moved[2:], reverse=True) == moved[2:].tolist()


def test_progress_tells_the_share_done_and_the_mean_loss_since() -> None:
    told: list[tuple[float, float]] = []

    fitted(
        Recording(loss=2.5),
        replace(SETTINGS, steps=50, learning_rate=1e-9),
        on_progress=lambda done, loss: told.append((done, loss)),
    )

    assert [done for done, _ in told] == [0.4, 0.8, 1.0]
    assert [loss for _, loss in told] == pytest.approx([2.5] * 3)


def test_what_progress_raises_ends_the_training() -> None:
    def interrupt(done: float, loss: float) -> None:
        raise KeyboardInterrupt

    network = Recording()
    with pytest.raises(KeyboardInterrupt):
        fitted(network, on_progress=interrupt)

    assert len(network.seen) == REPORT_STEPS


@each_family
def test_the_loss_falls(family: str) -> None:
    torch.manual_seed(0)
    network = build_network(family, SHAPE)

    first = fitted(network, replace(SETTINGS, steps=1, learning_rate=1e-9))
    last = fitted(network, replace(SETTINGS, steps=150))

    assert last < first - 0.3


def test_the_loss_is_that_of_the_last_tenth() -> None:
    network = Recording(loss=0.0)
    told: list[float] = []

    # In 200 steps, the last tenth is what progress tells of last.
    last = fitted(
        network,
        replace(SETTINGS, steps=200),
        on_progress=lambda _, loss: told.append(loss),
    )

    assert last == pytest.approx(told[-1])
    assert last < told[0]


def test_the_latent_space_of_a_variational_autoencoder_does_not_collapse() -> None:
    torch.manual_seed(0)
    network = VariationalAutoencoder(SHAPE)

    fitted(network, replace(SETTINGS, steps=200))

    windows_BTF = cut_windows(SERIES_NF, SHAPE.window).gather(slice(None))
    with torch.inference_mode():
        x_BTF = torch.from_numpy(np.ascontiguousarray(windows_BTF))
        mean_MBL = network.encode(x_BTF[None])
    # A latent value in use moves with the window; a collapsed one stays at the prior's 0.
    assert ((mean_MBL.std(dim=1) > 0.5).sum(dim=1) >= 2).all()


@each_family
def test_the_same_seed_gives_the_same_weights(family: str) -> None:
    def weights(seed: int) -> dict[str, Tensor]:
        torch.manual_seed(7)
        network = build_network(family, SHAPE)
        fitted(network, replace(SETTINGS, steps=3, seed=seed))
        return network.state_dict()

    first, again, other = weights(1), weights(1), weights(2)

    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not all(torch.equal(first[name], other[name]) for name in first)


def test_a_loss_that_is_not_finite_names_the_learning_rate() -> None:
    with pytest.raises(InputError, match=r"nan in step 1; .* learning rate than 0\.01"):
        fitted(Recording(loss=math.nan))
