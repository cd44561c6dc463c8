"""`trainer evaluate`: a detector and its baselines on labelled readings."""

import csv
import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.detector.artifact import REFERENCE, load, load_reference
from pipeline.errors import DetectorError, InputError
from pipeline.offline import score_file
from tests import builders
from tests.trainer.reporting import (
    FAULT,
    N_READINGS,
    WINDOW,
    Evaluated,
    OnDisk,
    series_with_fault,
    write_table,
)
from trainer.detections import Tally
from trainer.evaluate import BASELINES, DETECTOR, METHODS
from trainer.evaluate_show import evaluate_file, json_text
from trainer.ranking import average_precision, vus_pr, vus_window


def csv_rows(detector: OnDisk, tmp_path: Path) -> list[dict[str, str]]:
    score_file(detector.folder, tmp_path / "stream.parquet", tmp_path / "scores.csv", "cpu")
    with (tmp_path / "scores.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_detectors_rows_are_those_of_pipeline_score(
    evaluated: Evaluated, detector: OnDisk, tmp_path: Path
) -> None:
    [rows] = evaluated().rows

    lines = csv_rows(detector, tmp_path)
    found = rows.verdicts[DETECTOR]
    expected_N = [float(line["score"] or 0) for line in lines]
    np.testing.assert_allclose(found.score_N, expected_N, rtol=1e-5)
    assert found.is_alert_N.tolist() == [line["is_anomalous"] == "1" for line in lines]
    assert rows.is_scored_N.tolist() == [line["score"] != "" for line in lines]
    assert rows.label_N.tolist() == [n in FAULT for n in range(N_READINGS)]


def test_ranking_is_per_unit_then_the_mean_of_those_with_labels(
    detector: OnDisk, tmp_path: Path, evaluated: Evaluated
) -> None:
    units = {name: series_with_fault(seed) for seed, name in enumerate("abc")}
    path = write_table(tmp_path / "stream.parquet", detector.sensors, units)
    columns = pyarrow.parquet.read_table(path).to_pydict()
    is_c = [unit == "c" for unit in columns["unit"]]
    columns["label"] = [0 if c else y for c, y in zip(is_c, columns["label"], strict=True)]
    pyarrow.parquet.write_table(pa.table(columns), path)

    evaluation = evaluate_file(detector.folder, path, None, "cpu")

    volumes, precisions = [], []
    for rows in evaluation.rows[:2]:
        score_N = rows.verdicts[DETECTOR].score_N
        window = vus_window(units[rows.unit][:, 0])
        volumes.append(vus_pr(rows.label_N, score_N, window))
        precisions.append(average_precision(rows.label_N, score_N))
    ours = evaluation.by_method[DETECTOR]
    assert [unit.vus_pr for unit in evaluation.units[:2]] == volumes
    assert math.isnan(evaluation.units[2].vus_pr)
    assert ours.vus_pr == pytest.approx(np.mean(volumes))
    assert ours.average_precision == pytest.approx(np.mean(precisions))


def test_alerts_are_counted_over_all_units_together(evaluated: Evaluated) -> None:
    evaluation = evaluated({name: series_with_fault(n) for n, name in enumerate("ab")})

    for method in METHODS:
        tally = Tally()
        for rows in evaluation.rows:
            tally.add(rows.label_N, rows.verdicts[method].is_alert_N, rows.time_s_N)
        assert asdict(evaluation.by_method[method].detections) == pytest.approx(
            asdict(tally.rates()), nan_ok=True
        )


def test_a_gross_fault_is_ranked_above_all_else(evaluated: Evaluated) -> None:
    by_method = evaluated().by_method

    assert by_method[DETECTOR].vus_pr > 0.8
    assert by_method[DETECTOR].detections.event_recall == 1.0
    assert by_method["nearest_window"].vus_pr > 0.8
    assert by_method["random"].vus_pr < 0.3


def test_rows_without_a_score_count_as_0_and_no_alert(evaluated: Evaluated) -> None:
    times_s = [60.0 * n for n in range(N_READINGS)]
    times_s[310], times_s[311] = times_s[100], times_s[101]

    evaluation = evaluated(times_s=[1_700_000_000.0 + t for t in times_s])

    [rows], [unit] = evaluation.rows, evaluation.units
    unscored = [*range(WINDOW - 1), 310, 311]
    assert np.flatnonzero(~rows.is_scored_N).tolist() == unscored
    assert unit.n_unscored == evaluation.n_unscored == WINDOW + 1
    for name in (DETECTOR, "mahalanobis", "nearest_window"):
        assert not rows.verdicts[name].score_N[unscored].any()
        assert not rows.verdicts[name].is_alert_N[unscored].any()
        assert (np.delete(rows.verdicts[name].score_N, unscored) > 0).all()


def test_the_simple_baselines_are_what_they_are_called(evaluated: Evaluated) -> None:
    evaluation = evaluated()

    rates = {name: evaluation.by_method[name].detections for name in BASELINES}
    assert (rates["always_alert"].far, rates["always_alert"].mar) == (100.0, 0.0)
    assert (rates["constant"].far, rates["constant"].mar) == (0.0, 100.0)
    assert rates["random"].far == pytest.approx(1.0, abs=1.5)
    share = len(FAULT) / N_READINGS
    assert evaluation.by_method["constant"].average_precision == pytest.approx(share)


def test_the_same_data_gives_the_same_figures(evaluated: Evaluated) -> None:
    assert json_text(evaluated()) == json_text(evaluated())


def test_missing_values_and_short_units_are_measured_too(evaluated: Evaluated) -> None:
    values_NF = series_with_fault()
    values_NF[50:60] = np.nan
    values_NF[200:, 1] = np.nan

    evaluation = evaluated({"a": values_NF, "short": values_NF[: WINDOW - 1]})

    assert evaluation.units[1].n_unscored == evaluation.units[1].n_rows == WINDOW - 1
    assert all(np.isfinite(q.vus_pr) for q in evaluation.by_method.values())


def test_data_without_labels_is_refused(evaluated: Evaluated) -> None:
    with pytest.raises(InputError, match="expected a column 'label'") as caught:
        evaluated(labelled=None)

    assert "\n" not in str(caught.value)


def test_data_without_a_sensor_of_the_detector_is_refused(
    detector: OnDisk, tmp_path: Path
) -> None:
    values_NF = builders.sensor_series(50)[:, :2]
    path = write_table(tmp_path / "few.parquet", detector.sensors[:2], {"a": values_NF})

    with pytest.raises(InputError, match="are missing"):
        evaluate_file(detector.folder, path, None, "cpu")


def test_a_detector_whose_reference_was_changed_is_refused(tmp_path: Path) -> None:
    builders.saved_detector(tmp_path / "pumps")
    with (tmp_path / "pumps" / REFERENCE).open("ab") as file:
        file.write(b" ")

    with pytest.raises(DetectorError, match="SHA-256"):
        evaluate_file(tmp_path / "pumps", tmp_path / "none.csv", None, "cpu")


def test_training_keeps_a_reference_of_its_training_rows(detector: OnDisk) -> None:
    loaded = load(detector.folder)
    history_NF = builders.sensor_series(1_500)

    reference_BTF = load_reference(detector.folder, loaded)

    # The first member's: all but the first quarter, which is held out from it.
    n_held_out = len(history_NF) // 4
    x_NF = loaded.detector.scaling.scaled(history_NF)
    expected_BTF = builders.windows_of(x_NF[n_held_out:], WINDOW)
    np.testing.assert_array_equal(reference_BTF, expected_BTF)
