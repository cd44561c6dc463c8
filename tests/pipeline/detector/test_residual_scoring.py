"""Scoring by residuals: where they come from, and which sensors a score is put down to."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from pipeline.detector.network import Network, NetworkShape
from pipeline.detector.residual import Kind, ResidualScoring
from pipeline.detector.scoring import Surprise
from pipeline.records import FloatArray
from tests.builders import residual_scoring

T, F = 4, 3


class Saying(Network):
    """Each member reconstructs every value as a number of its own."""

    def __init__(self, *numbers: float) -> None:
        super().__init__(NetworkShape(T, F, 1, 1, n_members=len(numbers)))
        self.register_buffer("number_M", torch.tensor(numbers))

    def loss(self, x_MBTF: Tensor, observed_MBTF: Tensor, warmup: float) -> Tensor:
        raise NotImplementedError

    def encode(self, x_MBTF: Tensor) -> Tensor:
        number_M = self.get_buffer("number_M")
        return number_M[:, None, None].expand(-1, x_MBTF.shape[1], 1)

    def decode(self, latent_MBL: Tensor) -> Tensor:
        return latent_MBL[..., None].expand(-1, -1, T, F)


def windows(*newest_BF: list[float]) -> Tensor:
    """Scaled windows that end with these rows."""
    x_BTF = torch.full((len(newest_BF), T, F), 9.0)
    x_BTF[:, -1] = torch.tensor(newest_BF)
    return x_BTF


def noise(n_rows: int, seed: int = 0) -> FloatArray:
    """Residuals of variance 1, independent of each other."""
    return np.random.default_rng(seed).normal(size=(n_rows, F)).astype(np.float32)


def surprise(scoring: ResidualScoring, residual_NF: FloatArray) -> Surprise:
    """What is said of each row of one unit's residuals."""
    position_N = np.arange(len(residual_NF))
    return scoring.surprise(residual_NF, position_N, position_N)


def test_a_residual_is_what_the_newest_reading_has_beyond_its_reconstruction() -> None:
    x_BTF = windows([3.0, 0.0, -1.0], [2.0, 2.0, 2.0])

    measured = residual_scoring().measure([Saying(2.0)], x_BTF, torch.ones_like(x_BTF))

    assert measured.measure_BC.tolist() == [[1.0, -2.0, -3.0], [0.0, 0.0, 0.0]]
    assert measured.expected_BF.tolist() == [[2.0] * F] * 2


def test_every_family_counts_the_same_however_many_members_it_has() -> None:
    x_BTF = windows([0.0] * F)
    families = [Saying(1.0), Saying(1.0, 2.0, 3.0)]

    measured = residual_scoring().measure(families, x_BTF, torch.ones_like(x_BTF))

    assert measured.expected_BF.tolist() == [[1.5] * F]


def test_a_reconstruction_is_taken_off_as_far_as_it_is_trusted() -> None:
    x_BTF = windows([3.0, 3.0, 3.0])
    scoring = replace(residual_scoring(), trust_F=np.array([1.0, 0.5, 0.0], np.float32))

    measured = scoring.measure([Saying(2.0)], x_BTF, torch.ones_like(x_BTF))

    # Without any trust a sensor is expected at its mean, which is 0 once scaled.
    assert measured.expected_BF.tolist() == [[2.0, 1.0, 0.0]]
    assert measured.measure_BC.tolist() == [[1.0, 2.0, 3.0]]


def test_a_newest_value_that_is_missing_has_no_residual() -> None:
    x_BTF = windows([5.0, 5.0, 5.0])
    observed_BTF = torch.ones_like(x_BTF)
    observed_BTF[0, -1, 1] = 0.0
    observed_BTF[0, :-1, 2] = 0.0

    measured = residual_scoring().measure([Saying(2.0)], x_BTF, observed_BTF)

    assert measured.measure_BC.tolist() == [[3.0, 0.0, 3.0]]
    assert measured.expected_BF.tolist() == [[2.0] * F]


@pytest.mark.parametrize("sensor", range(F))
@pytest.mark.parametrize("kind", ["burst", "shift"])
def test_the_largest_share_is_that_of_the_sensor_that_is_off(
    kind: Kind, sensor: int
) -> None:
    scoring = residual_scoring((kind, 8))
    residual_NF = noise(30)
    residual_NF[10:, sensor] += 10.0

    share_BF = surprise(scoring, residual_NF).share_BF

    assert (share_BF[17:].argmax(axis=1) == sensor).all()
    assert (share_BF[17:, sensor] > 0.9).all()


@given(
    rows=st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * F), min_size=1, max_size=9),
    typical=st.floats(0.0, 1e3, width=32),
)
def test_shares_add_up_to_1_or_to_0(rows: list[tuple[float, ...]], typical: float) -> None:
    scoring = residual_scoring(("burst", 1), ("shift", 2))
    usual_F = np.full(F, typical, np.float32)
    statistics = tuple(replace(each, typical_F=usual_F) for each in scoring.statistics)
    scoring = replace(scoring, statistics=statistics)

    score_B, share_BF = surprise(scoring, np.array(rows, np.float32))

    assert np.isfinite(score_B).all()
    assert (share_BF >= 0).all()
    total_B = share_BF.sum(axis=1, dtype=np.float64)
    # Of losses so small that they are hardly numbers, any part may be lost.
    is_plain_B = (score_B == 0) | (score_B > 1e-30)
    np.testing.assert_allclose(total_B[is_plain_B], (score_B > 0)[is_plain_B], rtol=1e-5)


def test_a_share_is_of_what_exceeds_the_usual_loss() -> None:
    [statistic] = residual_scoring(("burst", 1)).statistics
    restless = replace(statistic, typical_F=np.array([4.0, 0.0, 1.0], np.float32))
    scoring = replace(residual_scoring(), statistics=(restless,))

    # Losses of 4.5, 0.5 and 0.5: the first sensor's is mostly its usual one.
    [share_F] = surprise(scoring, np.array([[3.0, 1.0, 1.0]], np.float32)).share_BF

    assert share_F.tolist() == [0.5, 0.5, 0.0]


def test_where_no_loss_exceeds_its_usual_one_a_share_is_of_the_loss() -> None:
    [statistic] = residual_scoring(("burst", 1)).statistics
    usual = replace(statistic, typical_F=np.full(F, 100.0, np.float32))
    scoring = replace(residual_scoring(), statistics=(usual,))

    [share_F] = surprise(scoring, np.array([[2.0, 2.0, 0.0]], np.float32)).share_BF

    assert share_F.tolist() == [0.5, 0.5, 0.0]


def test_context_sensors_contribute_nothing_to_score_and_shares() -> None:
    scoring = replace(
        residual_scoring(("burst", 1), ("shift", 4), n_sensors=2),
        is_scored_F=np.array([True, False, True]),
    )
    residual_NF = noise(30)
    disturbed_NF = residual_NF.copy()
    disturbed_NF[:, 1] = 1e6

    found, expected = surprise(scoring, disturbed_NF), surprise(scoring, residual_NF)

    np.testing.assert_array_equal(found.score_B, expected.score_B)
    np.testing.assert_array_equal(found.share_BF, expected.share_BF)
    assert (found.share_BF[:, 1] == 0).all()
    np.testing.assert_allclose(found.share_BF.sum(axis=1), 1.0, rtol=1e-5)


def test_the_score_of_scored_sensors_is_that_of_a_detector_of_those_alone() -> None:
    scoring = replace(
        residual_scoring(("burst", 1), ("shift", 4), n_sensors=2),
        is_scored_F=np.array([True, False, True]),
    )
    alone = residual_scoring(("burst", 1), ("shift", 4), n_sensors=2)

    found = surprise(scoring, noise(30)).score_B

    np.testing.assert_array_equal(found, surprise(alone, noise(30)[:, [0, 2]]).score_B)


def test_no_rows_have_no_scores() -> None:
    score_B, share_BF = surprise(residual_scoring(("burst", 4)), noise(0))

    assert (score_B.shape, share_BF.shape) == ((0,), (0, F))
