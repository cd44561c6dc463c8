"""What is shown of readings that are as in training, and of readings that are not."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.exposition import generate_latest

from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.drift.drift import MAX_ROWS, MEASURE_EVERY_S, SHOW_EVERY_S
from pipeline.metrics_histogram import SCORE_BUCKETS
from pipeline.records import FloatArray
from pipeline.settings import DriftSettings
from tests import builders
from tests.pipeline.drift.watching import (
    N_LEARNED,
    WINDOW,
    Watch,
    calibration_scores,
    knowing_detector,
)

DAY_S = 86_400.0
PRESSURE, TEMPERATURE, VIBRATION = range(3)


def series(seed: int = 0) -> FloatArray:
    return builders.sensor_series(N_LEARNED, seed)


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    return Watch(knowing_detector(tmp_path / "pumps", series()))


def read(watch: Watch, values_NF: FloatArray, unit: str = "pump-7") -> None:
    for begin in range(0, len(values_NF), 500):
        part_NF = values_NF[begin : begin + 500]
        watch.extend(part_NF, [unit] * len(part_NF))


def test_of_readings_as_in_training_nothing_is_far(watch: Watch) -> None:
    read(watch, series(seed=1))

    assert max(watch.of_sensors("psi")) < 0.05
    assert max(watch.of_sensors("out_of_range_ratio")) < 0.01
    assert watch.of_sensors("missing_ratio") == [0, 0, 0]
    assert watch.of_sensors("stuck_ratio") == [0, 0, 0]
    assert watch.shown("score_psi") < 0.05
    assert set(watch.drifting().values()) == {0}


def test_a_sensor_that_shifted_is_far_and_the_others_are_not(watch: Watch) -> None:
    values_NF = series(seed=1)
    values_NF[:, TEMPERATURE] += values_NF[:, TEMPERATURE].std()

    read(watch, values_NF)

    pressure, temperature, vibration = watch.of_sensors("psi")
    assert temperature > 0.5
    assert max(pressure, vibration) < 0.05
    assert watch.drifting()["psi"] == 1


def test_values_beyond_those_of_training_are_out_of_range(watch: Watch) -> None:
    values_NF = series(seed=1)
    values_NF[::4, PRESSURE] = 1e6

    read(watch, values_NF)

    assert watch.of_sensors("out_of_range_ratio") == pytest.approx([0.25, 0, 0], abs=0.01)
    assert watch.drifting()["out_of_range"] == 1


def test_a_dead_sensor_is_missing_and_has_no_distribution(watch: Watch) -> None:
    values_NF = series(seed=1)
    values_NF[:, VIBRATION] = np.nan

    read(watch, values_NF)

    assert watch.of_sensors("missing_ratio") == [0, 0, 1]
    assert watch.drifting()["missing"] == 1
    assert np.isnan(watch.of_sensors("psi")).tolist() == [False, False, True]
    assert np.isnan(watch.of_sensors("out_of_range_ratio")).tolist() == [False, False, True]


def test_what_was_missing_in_training_too_is_usual(tmp_path: Path) -> None:
    values_NF = series()
    values_NF[::2, VIBRATION] = np.nan
    watch = Watch(knowing_detector(tmp_path / "pumps", values_NF))

    read(watch, values_NF)

    assert watch.of_sensors("missing_ratio") == pytest.approx([0, 0, 0.5], abs=0.02)
    assert watch.drifting()["missing"] == 0


def test_a_sensor_that_stands_still_is_stuck(watch: Watch) -> None:
    values_NF = series(seed=1)
    values_NF[2_000:, PRESSURE] = values_NF[2_000, PRESSURE]

    read(watch, values_NF)

    assert watch.of_sensors("stuck_ratio") == pytest.approx([0.5, 0, 0], abs=0.02)
    assert watch.drifting()["stuck"] == 1


def test_a_flag_that_stood_still_in_training_is_not_stuck(tmp_path: Path) -> None:
    values_NF = series()
    values_NF[:, PRESSURE] = np.arange(N_LEARNED) // 500 % 2
    watch = Watch(knowing_detector(tmp_path / "pumps", values_NF))

    read(watch, np.roll(values_NF, 300, axis=0))

    assert watch.of_sensors("stuck_ratio") == [0, 0, 0]


def test_scores_that_moved_are_far(watch: Watch) -> None:
    for _ in range(10):
        values_NF = series()[:200]
        watch.extend(values_NF, score_B=2.0 * calibration_scores(200))

    assert watch.shown("score_psi") > 0.25


def test_units_of_different_levels_are_held_against_their_own(tmp_path: Path) -> None:
    unit_level_F = np.array([1e4, 1e5, 1e6], dtype=np.float32)
    learned_NF = series()
    built = builders.detector(window=WINDOW)
    scalers = Scaler.fit(learned_NF), Scaler.fit(learned_NF + unit_level_F)
    scaling = Scaling(
        Scaler.fit(np.concatenate([learned_NF, learned_NF + unit_level_F])),
        ("pump-7", "pump-8"),
        np.stack([scaler.mean_F for scaler in scalers]),
        np.stack([scaler.scale_F for scaler in scalers]),
    )
    built = replace(built, scaling=scaling)
    watch = Watch(knowing_detector(tmp_path / "pumps", learned_NF, built, "pump-7"))

    read(watch, series(seed=1) + unit_level_F, "pump-8")
    assert max(watch.of_sensors("psi")) < 0.05
    assert max(watch.of_sensors("out_of_range_ratio")) < 0.01

    read(watch, series(seed=1) + 3 * unit_level_F, "not trained on")
    assert max(watch.of_sensors("psi")) < 0.05


def test_replayed_readings_are_not_counted_but_their_sensors_stand_still(
    watch: Watch,
) -> None:
    still_NF = np.full((30, 3), 5.0, dtype=np.float32)

    watch.extend(still_NF, is_replay=True)
    assert np.isnan(watch.of_sensors("stuck_ratio")).all()

    for _ in range(20):
        watch.extend(np.concatenate([still_NF[:1]] * 5))
    assert watch.of_sensors("stuck_ratio") == [1, 1, 1]


def test_nothing_is_shown_of_few_readings(watch: Watch) -> None:
    watch.extend(series()[:90])

    assert np.isnan(watch.of_sensors("missing_ratio")).all()
    assert np.isnan(watch.shown("score_psi"))


def test_sensors_are_far_only_once_readings_span_the_period(watch: Watch) -> None:
    moved_NF = series()[:500] + 100 * builders.sensor_series(500).std(axis=0)

    for _ in range(3):
        watch.extend(moved_NF)
    assert min(watch.of_sensors("psi")) > 1
    assert watch.drifting()["psi"] == 0
    assert watch.shown("psi_span_seconds") == pytest.approx(2 * 86_400.0, rel=0.01)

    for _ in range(5):
        watch.extend(moved_NF)
    assert watch.drifting()["psi"] == 3


@pytest.mark.parametrize("max_sensors", [0, 2, 50])
def test_so_many_sensors_have_series_and_all_are_counted(
    tmp_path: Path, max_sensors: int
) -> None:
    loaded = knowing_detector(tmp_path / "pumps", series())
    watch = Watch(loaded, DriftSettings(max_sensors=max_sensors))
    values_NF = series(seed=1)
    values_NF[:, VIBRATION] = np.nan

    read(watch, values_NF)

    n_shown = int(np.isfinite(watch.of_sensors("missing_ratio")).sum())
    assert n_shown == min(max_sensors, 3)
    assert watch.drifting()["missing"] == 1


def test_what_calibration_found_is_shown_from_the_start(watch: Watch) -> None:
    bounds = [str(float(bound)) for bound in SCORE_BUCKETS]
    shares = [watch.shown("calibration_score_ratio", le=b) for b in [*bounds, "+Inf"]]

    scores = calibration_scores(10_000)
    found = [(scores <= bound).mean() for bound in SCORE_BUCKETS]
    assert shares == pytest.approx([*found, 1.0], abs=0.01)
    assert watch.shown("false_alarms_promised_per_unit_day") == 0.25
    assert watch.shown("score_psi_usual") == 0.0


def test_a_detector_of_before_has_no_drift_of_sensors(tmp_path: Path) -> None:
    watch = Watch(builders.saved_detector(tmp_path / "old"))

    read(watch, series())

    assert np.isnan(watch.of_sensors("psi")).all()
    assert np.isnan(watch.shown("score_psi"))
    assert watch.shown("false_alarms_promised_per_unit_day") == 0


def test_another_detector_takes_the_place_of_the_one_before(watch: Watch) -> None:
    read(watch, series())
    assert np.isfinite(watch.of_sensors("psi")).all()

    watch.metrics.forget_detector(watch.digest)

    assert watch.digest not in generate_latest(watch.registry).decode()


def test_only_so_many_readings_of_a_batch_are_looked_at(watch: Watch) -> None:
    watch.extend(np.concatenate([series()] * 2))

    (counts,) = watch.drift._scores.totals(watch.now_s)  # type: ignore[union-attr]
    assert counts.sum() == MAX_ROWS


def test_batches_in_quick_succession_are_not_looked_at(watch: Watch) -> None:
    for _ in range(10):
        watch.extend(series()[:100])
        watch.now_s -= 2 * SHOW_EVERY_S - MEASURE_EVERY_S / 10

    (counts,) = watch.drift._scores.totals(watch.now_s)  # type: ignore[union-attr]
    assert counts.sum() == 100 - WINDOW + 1


def test_the_last_hour_holds_nothing_of_before_a_silence(watch: Watch) -> None:
    missing_NF = series(seed=1)
    missing_NF[:, VIBRATION] = np.nan
    read(watch, missing_NF)
    assert watch.drifting()["missing"] == 1

    watch.now_s += 12 * 3_600.0
    read(watch, series(seed=2)[:500])

    assert watch.of_sensors("missing_ratio") == [0, 0, 0]
    assert watch.drifting()["missing"] == 0


def test_of_too_few_readings_behind_a_silence_nothing_is_shown(watch: Watch) -> None:
    read(watch, series())

    watch.now_s += 12 * 3_600.0
    watch.extend(series()[:50])

    assert np.isnan(watch.of_sensors("missing_ratio")).all()
    assert math.isnan(watch.drifting()["missing"])
    # These are of a week.
    assert np.isfinite(watch.of_sensors("psi")).all()
    assert watch.drifting()["psi"] == 0


def test_nothing_stands_still_while_nothing_comes(watch: Watch) -> None:
    read(watch, series())

    for period_s, name in ((3_600.0, "sensor_missing_ratio"), (7 * DAY_S, "sensor_psi")):
        shown_at_s = watch.now_s + period_s
        assert math.isfinite(watch.shown(name, sensor=builders.SENSORS[0]))
        watch.drift.show(shown_at_s)
        assert math.isnan(watch.shown(name, sensor=builders.SENSORS[0]))

    assert all(math.isnan(n) for n in watch.drifting().values())
    assert math.isnan(watch.shown("score_psi"))
    assert math.isnan(watch.shown("psi_span_seconds"))
    assert watch.shown("score_psi_usual") == 0.0
