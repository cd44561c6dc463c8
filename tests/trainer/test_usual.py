"""What a manifest tells of the readings that a detector learned from."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from pipeline.detector.manifest_parts import N_QUANTILE_BINS, UsualPart
from pipeline.records import FloatArray
from tests import builders
from tests.trainer.training import TrainedModel
from trainer.usual import usual_readings, usual_score_psi

LAST_BIN = N_QUANTILE_BINS - 1


def usual_of(
    *series: npt.NDArray[Any],
    used_N: list[bool] | None = None,
    x_NF: FloatArray | None = None,
) -> UsualPart:
    """Of units of one sensor each, whose readings are a second apart."""
    values_NF = np.concatenate(series).astype(np.float32)[:, None]
    return usual_readings(
        values_NF,
        values_NF if x_NF is None else x_NF,
        np.repeat(np.arange(len(series)), [len(each) for each in series]),
        np.concatenate([np.arange(len(each), dtype=np.float64) for each in series]),
        np.array([True] * len(values_NF) if used_N is None else used_N),
    )


def test_it_is_of_scaled_values() -> None:
    x_NF = np.arange(5, dtype=np.float32)[:, None] - 2

    usual = usual_of(1_000 + np.arange(5), x_NF=x_NF)

    assert (usual.low, usual.high) == ([-2.0], [2.0])


def test_bins_hold_equal_shares_of_values_that_differ() -> None:
    usual = usual_of(np.random.default_rng(0).normal(size=10_000))

    assert usual.shares[0] == pytest.approx([0.1] * N_QUANTILE_BINS, abs=1e-3)


def test_what_a_flag_shows_has_a_bin_each() -> None:
    usual = usual_of(np.array([0.0, 0.0, 0.0, 1.0] * 100))

    assert sorted(usual.shares[0])[-2:] == [0.25, 0.75]
    assert usual.edges[0] == [0.0] * 7 + [1.0] * 2


def test_readings_that_were_not_learned_from_do_not_count() -> None:
    usual = usual_of(np.array([1.0, 2.0, 99.0]), used_N=[True, True, False])

    assert usual.high == [2.0]


def test_a_value_that_is_missing_counts_as_that_alone() -> None:
    usual = usual_of(np.array([1.0, np.nan, np.nan, 1.0]))

    assert usual.missing == [0.5]
    assert usual.longest_still == [0]


def test_the_longest_time_without_a_change_is_of_one_unit_in_one_stretch() -> None:
    still = np.full(20, 7.0)
    used_N = [True] * 12 + [False] + [True] * 27

    assert usual_of(still, still).longest_still == [19]
    assert usual_of(np.arange(20), still, used_N=[True] * 40).longest_still == [19]
    assert usual_of(still, np.arange(20) + 8.0, used_N=used_N).longest_still == [11]


def test_a_sensor_whose_quarters_differ_is_far_from_itself() -> None:
    noise_N = np.random.default_rng(0).normal(size=8_000)
    steady, wandering = usual_of(noise_N), usual_of(noise_N + np.arange(8_000) / 1_000)

    assert steady.psi[0] < 0.02
    assert wandering.psi[0] > 1.0


def test_so_are_scores() -> None:
    score_B = np.random.default_rng(0).gamma(4, 0.1, size=8_000).astype(np.float32)
    wandering_B = score_B * np.geomspace(0.5, 2, 8_000, dtype=np.float32)
    time_s_B = np.arange(8_000, dtype=np.float64)

    assert usual_score_psi(score_B, time_s_B) < 0.02
    assert usual_score_psi(wandering_B, time_s_B) > 0.3


def test_a_detector_that_was_trained_knows_what_is_usual(trained: TrainedModel) -> None:
    manifest = trained("ae").loaded.manifest

    assert manifest.training.usual is not None
    assert len(manifest.training.usual.low) == len(manifest.sensors)
    assert sum(manifest.threshold.score_counts) > 0


def test_a_float_is_written_with_the_digits_that_it_has() -> None:
    usual = usual_of(np.array([0.1, 0.2]))

    assert usual.low == [0.1]
    assert np.float32(usual.low[0]) == np.float32(0.1)


def test_readings_as_those_learned_from_are_never_out_of_range() -> None:
    values_NF = builders.sensor_series(500)
    usual = usual_of(values_NF[:, 0])

    assert values_NF[:, 0].min() >= np.float32(usual.low[0])
    assert values_NF[:, 0].max() <= np.float32(usual.high[0])
