"""Windows drawn from a VAE."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from pipeline.detector import artifact
from pipeline.errors import InputError
from pipeline.records import FloatArray
from tests.trainer.synthetic.conftest import CPU, N_KEPT, T, kept
from trainer.synthetic.draws import Draws, Latent, Noise, correlated

MakeDraws = Callable[..., Draws]
each_source = pytest.mark.parametrize(
    ("latent", "noise"),
    [(a, b) for a in ("posterior", "prior") for b in ("observed", "gaussian")],
)


@each_source
def test_windows_are_of_the_detectors_shape_and_finite(
    latent: Latent, noise: Noise, draws: MakeDraws
) -> None:
    x_BTF = draws(latent, noise).windows(50)

    assert x_BTF.shape == (50, T, 3)
    assert np.isfinite(x_BTF).all()


@each_source
def test_the_same_seed_draws_the_same(
    latent: Latent, noise: Noise, draws: MakeDraws
) -> None:
    first, again, other = (draws(latent, noise, seed).windows(20) for seed in (1, 1, 2))

    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_readings_with_observed_noise_have_been(folder: Path, draws: MakeDraws) -> None:
    whole_BTF = artifact.load_whole(folder, artifact.load(folder))
    assert whole_BTF is not None

    x_BTF = draws().windows(50)

    for sensor in range(3):
        assert np.isin(x_BTF[:, :, sensor], whole_BTF[:, :, sensor]).all()


def test_windows_of_several_groups_are_not_all_copies(
    folder: Path, draws: MakeDraws, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.synthetic.draws.GROUPED_ABOVE", 1.0)
    whole_BTF = artifact.load_whole(folder, artifact.load(folder))
    assert whole_BTF is not None
    known = {window.tobytes() for window in whole_BTF}

    x_BTF = draws().windows(200)

    assert np.mean([window.tobytes() in known for window in x_BTF]) < 0.5


def test_a_window_is_mixed_with_none_that_shares_a_reading(draws: MakeDraws) -> None:
    neighbour_BK = draws()._neighbour_BK.numpy()

    n_apart_BK = np.abs(neighbour_BK - np.arange(N_KEPT)[:, None])

    assert n_apart_BK.min() >= T


def test_sensors_that_are_correlated_are_of_one_group() -> None:
    random = np.random.default_rng(0)
    a, b = random.normal(size=(2, 500))
    still = np.zeros(500)
    values_NF: FloatArray = np.stack([a, b, 2 * a, still, -b], axis=1).astype(np.float32)

    assert [group.tolist() for group in correlated(values_NF)] == [[0, 2], [1, 4], [3]]


@pytest.mark.parametrize("families", ["vae", "dvae", "dae+vae", "vae+dae"])
def test_a_vae_is_found_wherever_in_the_detector_it_is(
    families: str, tmp_path: Path
) -> None:
    folder = kept(tmp_path / "pumps", families)

    draws = Draws(artifact.load(folder), folder, "posterior", "observed", CPU, 0)

    assert draws.windows(3).shape == (3, T, 3)


@pytest.mark.parametrize("families", ["ae", "dae", "conv", "gru", "ae+conv"])
def test_a_detector_without_a_vae_is_refused(families: str, tmp_path: Path) -> None:
    folder = kept(tmp_path / "pumps", families)

    with pytest.raises(InputError, match="expected a detector with a VAE in it"):
        Draws(artifact.load(folder), folder, "prior", "gaussian", CPU, 0)


def test_without_whole_windows_the_prior_is_all_there_is(tmp_path: Path) -> None:
    folder = kept(tmp_path / "pumps", whole=False)
    loaded = artifact.load(folder)

    assert Draws(loaded, folder, "prior", "gaussian", CPU, 0).windows(2).shape == (2, T, 3)
    with pytest.raises(InputError, match=r"keeps no whole windows .* --from prior"):
        Draws(loaded, folder, "posterior", "observed", CPU, 0)
