"""Scoring whole windows by a VAE: in nats, by its ELBO or by the reconstruction alone."""

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.detector.elbo import ElboScoring
from pipeline.detector.families import FAMILIES, VARIATIONAL, build_network
from pipeline.detector.network import Network, NetworkShape
from pipeline.detector.scoring import Surprise
from pipeline.detector.variational import VariationalAutoencoder
from pipeline.errors import DetectorError
from pipeline.records import FloatArray

T, F = 6, 3
SHAPE = NetworkShape(T, F, hidden=16, latent=4, n_members=2)


def network(family: str = "vae", seed: int = 0) -> Network:
    torch.manual_seed(seed)
    return build_network(family, SHAPE).eval()


def windows(n: int = 9) -> Tensor:
    return torch.randn(n, T, F, generator=torch.Generator().manual_seed(1))


def measure(scoring: ElboScoring, *networks: Network) -> FloatArray:
    x_BTF = windows()
    with torch.inference_mode():
        measured = scoring.measure(networks, x_BTF, torch.ones_like(x_BTF))
    measure_BC: FloatArray = measured.measure_BC.numpy()
    return measure_BC


def surprise(scoring: ElboScoring, measure_BC: FloatArray) -> Surprise:
    position_B = np.arange(len(measure_BC))
    return scoring.surprise(measure_BC, position_B, np.zeros_like(position_B))


def nats(of: Network) -> tuple[FloatArray, FloatArray]:
    """Each sensor's part in the reconstruction term, and the KL divergence."""
    assert isinstance(of, VariationalAutoencoder)
    x_BTF = windows()
    with torch.inference_mode():
        sensor_BF, kl_B = of.negative_elbo(x_BTF, torch.ones_like(x_BTF))
    return sensor_BF.numpy(), kl_B.numpy()


@pytest.mark.parametrize("family", VARIATIONAL)
def test_a_score_is_the_negative_elbo_over_the_limit(family: str) -> None:
    scoring, net = ElboScoring(has_kl=True, limit=4.0), network(family)
    sensor_BF, kl_B = nats(net)

    score_B = surprise(scoring, measure(scoring, net)).score_B

    assert (kl_B > 0.01).all()
    np.testing.assert_allclose(score_B, (sensor_BF.sum(axis=1) + kl_B) / 4.0, rtol=1e-5)


def test_without_the_kl_term_a_score_is_the_reconstruction_term_alone() -> None:
    scoring, net = ElboScoring(has_kl=False, limit=4.0), network()
    sensor_BF, _ = nats(net)

    score_B = surprise(scoring, measure(scoring, net)).score_B

    np.testing.assert_allclose(score_B, sensor_BF.sum(axis=1) / 4.0, rtol=1e-5)


@pytest.mark.parametrize("has_kl", [True, False])
def test_shares_are_of_the_reconstruction_term(has_kl: bool) -> None:
    scoring, net = ElboScoring(has_kl, limit=4.0), network()
    sensor_BF, _ = nats(net)

    share_BF = surprise(scoring, measure(scoring, net)).share_BF

    expected_BF = sensor_BF / sensor_BF.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(share_BF, expected_BF, rtol=1e-5)


def test_a_perfect_reconstruction_has_no_shares() -> None:
    scoring = ElboScoring(has_kl=True, limit=1.0)

    score_B, share_BF = surprise(scoring, np.array([[0.0, 0.0, 0.0, 2.0]], np.float32))

    assert score_B.tolist() == [2.0]
    assert share_BF.tolist() == [[0.0] * F]


def test_families_are_averaged() -> None:
    scoring = ElboScoring(has_kl=True, limit=4.0)
    vae, dvae = network("vae"), network("dvae", seed=1)

    both_BC = measure(scoring, vae, dvae)

    expected_BC = (measure(scoring, vae) + measure(scoring, dvae)) / 2
    np.testing.assert_allclose(both_BC, expected_BC, rtol=1e-5)


def test_what_is_expected_is_the_networks_reconstruction_of_the_newest_row() -> None:
    x_BTF, net = windows(), network()

    with torch.inference_mode():
        measured = ElboScoring(True, 1.0).measure([net], x_BTF, torch.ones_like(x_BTF))
        newest_MBF = net.newest(x_BTF)

    torch.testing.assert_close(measured.expected_BF, newest_MBF.mean(dim=0))


def test_a_score_depends_on_its_own_window_alone() -> None:
    scoring = ElboScoring(has_kl=True, limit=4.0)
    measure_BC = measure(scoring, network())
    at_once_B = surprise(scoring, measure_BC).score_B

    one_by_one = [surprise(scoring, measure_BC[b : b + 1]).score_B[0] for b in range(9)]

    assert scoring.n_memory == 0
    np.testing.assert_array_equal(at_once_B, one_by_one)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - VARIATIONAL))
def test_a_family_without_an_elbo_is_refused(family: str) -> None:
    with pytest.raises(DetectorError, match="only a VAE is scored by it"):
        measure(ElboScoring(has_kl=True, limit=1.0), network("vae"), network(family))
