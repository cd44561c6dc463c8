"""Statistics of residuals: what each of them sees, and from when on."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detector import residual
from pipeline.detector.residual import Kind, ResidualScoring, Statistic
from pipeline.detector.residual_sums import HUBER_KNEE, Residuals, TrailingSums, huber
from pipeline.records import FloatArray
from tests.builders import residual_scoring

F = 20
SPAN = 64


def noise(n_rows: int, seed: int = 0, n_sensors: int = F) -> FloatArray:
    """Residuals of variance 1, independent of each other."""
    random = np.random.default_rng(seed)
    return random.normal(size=(n_rows, n_sensors)).astype(np.float32)


def calibrated(kind: Kind, span: int = SPAN) -> ResidualScoring:
    """Its scores on much noise are all below 1.0, the highest just so."""
    spread = 1.0 if kind == "burst" else span**-0.5
    ones_F = np.ones(F, np.float32)
    statistic = Statistic(kind, span, spread * ones_F, 0.5 * ones_F, limit=1.0)
    scoring = replace(residual_scoring(n_sensors=F), statistics=(statistic,))
    limit = 1.01 * float(scores(scoring, noise(4_000, seed=99)).max())
    return replace(scoring, statistics=(replace(statistic, limit=limit),))


def scores(scoring: ResidualScoring, residual_NF: FloatArray) -> FloatArray:
    """The score of each row of one unit's residuals."""
    position_N = np.arange(len(residual_NF))
    return scoring.surprise(residual_NF, position_N, position_N).score_B


def test_the_loss_is_squared_near_zero_and_in_proportion_beyond() -> None:
    z = np.array([0.0, 1.0, -2.0, HUBER_KNEE, 10.0, -100.0], np.float32)

    assert huber(z).tolist() == pytest.approx([0.0, 0.5, 2.0, 4.5, 25.5, 295.5])


@given(z=st.floats(-1e6, 1e6, width=32))
def test_the_loss_is_never_below_zero_and_the_same_for_both_signs(z: float) -> None:
    loss = huber(np.array([z, -z], np.float32))

    assert loss[0] == loss[1] >= 0.0


@pytest.mark.parametrize("span", [1, 2, 8, 256])
def test_a_trailing_mean_is_the_mean_of_the_last_rows(span: int) -> None:
    x_MF = noise(300)

    means_MF = TrailingSums(x_MF).mean(span, slice(None))

    expected = [x_MF[m + 1 - span : m + 1].mean(axis=0) for m in range(span - 1, 300)]
    np.testing.assert_allclose(means_MF[span - 1 :], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("span", [-4, 0, 3, 6, 4095])
def test_a_trailing_mean_is_over_a_power_of_two(span: int) -> None:
    with pytest.raises(ValueError, match="power of two"):
        TrailingSums(noise(10)).mean(span, slice(None))


@given(spans=st.lists(st.sampled_from([1, 2, 4, 8, 16]), max_size=6))
def test_a_trailing_mean_is_the_same_whatever_was_asked_for_before(
    spans: list[int],
) -> None:
    x_MF = noise(40)
    sums = TrailingSums(x_MF)

    for span in spans:
        alone_MF = TrailingSums(x_MF).mean(span, slice(None))
        np.testing.assert_array_equal(sums.mean(span, slice(None)), alone_MF)


def test_a_trailing_mean_leaves_its_input_as_it_was() -> None:
    x_MF = noise(10)

    TrailingSums(x_MF).mean(4, slice(None))

    np.testing.assert_array_equal(x_MF, noise(10))


@given(log_n_each=st.integers(0, 6), n_units=st.integers(0, 9))
def test_of_last_rows_alone_statistics_say_the_same_to_the_last_bit(
    log_n_each: int, n_units: int
) -> None:
    n_each = 2**log_n_each
    residual_MF = noise(n_units * n_each)
    last_B = np.arange(n_each - 1, len(residual_MF), n_each)
    parts: list[tuple[Kind, int]] = [("burst", n_each), ("shift", 1), ("shift", n_each)]

    for statistic in residual_scoring(*parts, n_sensors=F).statistics:
        found_BF = statistic.losses(Residuals(residual_MF, n_each), last_B)
        expected_BF = statistic.losses(Residuals(residual_MF), last_B)
        np.testing.assert_array_equal(found_BF, expected_BF)


@given(
    kind=st.sampled_from(["burst", "shift"]),
    log_span=st.integers(0, 5),
    n_ahead=st.integers(0, 40),
    n_behind=st.integers(0, 40),
    is_scored_F=st.lists(st.booleans(), min_size=F, max_size=F).filter(any),
)
def test_a_score_is_the_same_to_the_last_bit_wherever_in_an_array_its_residual_stands(
    kind: Kind, log_span: int, n_ahead: int, n_behind: int, is_scored_F: list[bool]
) -> None:
    scoring = replace(
        residual_scoring((kind, 2**log_span), ("burst", 1), n_sensors=sum(is_scored_F)),
        is_scored_F=np.array(is_scored_F),
    )
    n_memory = scoring.n_memory
    residual_NF = noise(n_ahead + n_memory + 1 + n_behind)
    at_N = np.array([n_ahead + n_memory])
    alone_NF = residual_NF[n_ahead : n_ahead + n_memory + 1].copy()

    found = scoring.surprise(residual_NF, at_N, at_N)

    alone_N = np.array([n_memory])
    expected = scoring.surprise(alone_NF, alone_N, alone_N)
    np.testing.assert_array_equal(found.score_B, expected.score_B)
    np.testing.assert_array_equal(found.share_BF, expected.share_BF)


@pytest.mark.parametrize("kind", ["burst", "shift"])
def test_a_statistic_counts_once_its_unit_has_as_many_residuals_as_it_spans(
    kind: Kind,
) -> None:
    scoring = residual_scoring((kind, 4), n_sensors=F)

    score_B = scores(scoring, 10 * noise(8))

    assert (score_B > 0).tolist() == [False] * 3 + [True] * 5


def test_what_stands_before_a_units_first_residual_does_not_count() -> None:
    scoring = residual_scoring(("burst", 1), ("shift", 4), ("burst", 8), n_sensors=F)
    of_another_unit_NF = np.full((20, F), 1e6, np.float32)
    flat_NF = np.concatenate([of_another_unit_NF, noise(30)])

    found_B = scoring.surprise(flat_NF, np.arange(20, 50), np.arange(30)).score_B

    np.testing.assert_array_equal(found_B, scores(scoring, noise(30)))


def test_burst_sees_a_disturbance_of_all_sensors_whatever_its_sign() -> None:
    disturbed_NF = noise(SPAN, seed=1)
    disturbed_NF[::2] += 0.5
    disturbed_NF[1::2] -= 0.5

    assert scores(calibrated("burst"), noise(SPAN, seed=1))[-1] < 1.0
    assert scores(calibrated("burst"), disturbed_NF)[-1] > 1.0
    assert scores(calibrated("shift"), disturbed_NF)[-1] < 1.0


def test_shift_sees_an_offset_of_one_sensor_that_is_hidden_in_its_noise() -> None:
    offset_NF = noise(SPAN, seed=1)
    offset_NF[:, 3] += 0.75

    assert scores(calibrated("shift"), noise(SPAN, seed=1))[-1] < 1.0
    assert scores(calibrated("shift"), offset_NF)[-1] > 1.0
    assert scores(calibrated("burst"), offset_NF)[-1] < 1.0


@pytest.mark.parametrize("kind", ["burst", "shift"])
def test_one_far_outlier_is_soon_forgotten(kind: Kind) -> None:
    outlier_NF = noise(2 * SPAN, seed=1)
    outlier_NF[10, 3] = 1e6

    score_B = scores(calibrated(kind), outlier_NF)

    np.testing.assert_array_equal(
        score_B[10 + SPAN :], scores(calibrated(kind), noise(2 * SPAN, seed=1))[10 + SPAN :]
    )


def test_a_level_at_its_limit_scores_1() -> None:
    [statistic] = residual_scoring(("burst", 1), n_sensors=2).statistics
    scoring = replace(
        residual_scoring(n_sensors=2), statistics=(replace(statistic, limit=0.25),)
    )

    # One of the two sensors has a loss of 0.5, so the mean loss is 0.25.
    assert scores(scoring, np.array([[1.0, 0.0]], np.float32)).tolist() == [1.0]


def test_a_residual_counts_in_its_sensors_scale() -> None:
    [statistic] = residual_scoring(("shift", 1), n_sensors=2).statistics
    in_scale = replace(statistic, scale_F=np.array([0.5, 4.0], np.float32))
    scoring = replace(residual_scoring(n_sensors=2), statistics=(in_scale,))

    score_B = scores(scoring, np.array([[1.0, 0.0], [0.0, 1.0]], np.float32))

    assert score_B.tolist() == [2.0, 0.03125]


@given(seed=st.integers(0, 100))
def test_the_score_is_that_of_the_statistic_that_is_highest_over_its_limit(
    seed: int,
) -> None:
    parts: list[tuple[Kind, int]] = [("burst", 1), ("burst", 4), ("shift", 2), ("shift", 8)]
    residual_NF = 3 * noise(30, seed)

    found_B = scores(residual_scoring(*parts, n_sensors=F), residual_NF)

    alone = [scores(residual_scoring(part, n_sensors=F), residual_NF) for part in parts]
    np.testing.assert_array_equal(found_B, np.max(alone, axis=0))


def test_scoring_remembers_as_far_back_as_its_longest_statistic_looks() -> None:
    assert residual_scoring(("burst", 1)).n_memory == 0
    assert residual_scoring(("shift", 64), ("burst", 4)).n_memory == 63


@pytest.mark.parametrize("part_values", [1, 100, 1_000])
def test_scores_do_not_depend_on_how_much_is_worked_on_at_a_time(
    part_values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    scoring = residual_scoring(("burst", 1), ("burst", 8), ("shift", 16), n_sensors=F)
    flat_MF = noise(300)
    # Two units, of the first of which some rows were seen before.
    position_B = np.concatenate([np.arange(20, 150), np.arange(150, 300)])
    n_before_B = np.concatenate([np.arange(20, 150), np.arange(150)])
    at_once = scoring.surprise(flat_MF, position_B, n_before_B)

    monkeypatch.setattr(residual, "PART_VALUES", part_values)
    in_parts = scoring.surprise(flat_MF, position_B, n_before_B)

    for column, expected in zip(in_parts, at_once, strict=True):
        np.testing.assert_array_equal(column, expected)
