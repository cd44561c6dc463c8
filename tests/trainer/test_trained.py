"""What a trained detector says of readings that are normal, and of some that are not."""

import numpy as np
import pytest

from pipeline.detector.elbo import ElboScoring
from pipeline.trigger import IncidentRule
from tests.builders import sensor_series
from tests.trainer.training import (
    TrainedModel,
    each_model,
    each_scoring,
    held_out_levels,
)
from trainer.calibrate import count_incidents


@each_scoring
def test_normal_readings_score_below_the_threshold_for_the_most_part(
    model: str, score: str, trained: TrainedModel
) -> None:
    detector = trained(model, score).loaded.detector

    score_B = detector.score_series(sensor_series(500, seed=1)).score_B

    assert np.mean(score_B < 1.0) > 0.95
    assert np.median(score_B) > 0.05


@each_scoring
@pytest.mark.parametrize("sensor", [0, 1, 2])
def test_a_sensor_that_jumps_is_found_and_named(
    model: str, score: str, sensor: int, trained: TrainedModel
) -> None:
    detector = trained(model, score).loaded.detector
    values_NF = sensor_series(400, seed=1)
    values_NF[300:330, sensor] += 8 * detector.scaling.pooled.scale_F[sensor]

    scores = detector.score_series(values_NF)

    within = slice(305 - 7, 330 - 7)
    assert np.mean(scores.score_B[within] > 1.0) > 0.9
    assert np.mean(scores.contribution_BF[within].argmax(axis=1) == sensor) > 0.9


@each_model
def test_what_is_expected_of_normal_readings_is_near_them(
    model: str, trained: TrainedModel
) -> None:
    values_NF = sensor_series(500, seed=1)
    scores = trained(model).loaded.detector.score_series(values_NF)

    distance_BF = np.abs(scores.observed_BF - scores.expected_BF)
    assert (np.median(distance_BF, axis=0) < 0.5 * values_NF.std(axis=0)).all()


@each_scoring
def test_the_threshold_holds_what_it_says_of_the_held_out_readings(
    model: str, score: str, trained: TrainedModel
) -> None:
    outcome = trained(model, score)
    part = outcome.loaded.manifest.threshold
    level_B, series_B = held_out_levels(outcome)

    n_incidents = count_incidents(level_B, series_B, part.value, IncidentRule(3, 5, 10))

    assert part.value == outcome.calibration.threshold
    assert part.observed_false_alarms == n_incidents
    # Asked: five a day, in one day.
    assert part.observed_false_alarms <= 10


@pytest.mark.parametrize(
    ("score", "has_kl"), [("elbo", True), ("reconstruction-probability", False)]
)
def test_a_vae_can_be_scored_by_whole_windows(
    score: str, has_kl: bool, trained: TrainedModel
) -> None:
    scoring = trained("vae", score).loaded.detector.scoring

    assert isinstance(scoring, ElboScoring)
    assert scoring.has_kl == has_kl


@each_scoring
def test_reconstructions_explain_what_was_held_out(
    model: str, score: str, trained: TrainedModel
) -> None:
    assert 0.5 < trained(model, score).loaded.manifest.training.explained < 1.0
