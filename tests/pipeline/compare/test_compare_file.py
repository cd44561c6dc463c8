"""Two detectors over a file: who found what, and how they agree."""

import json
import math
from pathlib import Path

import numpy as np
import pytest

from pipeline.compare import side
from pipeline.compare.comparison import Comparison
from pipeline.compare.run import run
from pipeline.compare.show import json_text, show_comparison
from pipeline.compare.words import figure_rows, summary_lines
from pipeline.detector.artifact import load
from pipeline.errors import InputError
from pipeline.offline import scored_rows
from pipeline.score import Scorer, choose_device
from pipeline.settings import ReplaySettings
from pipeline.table import read_table
from tests.pipeline.compare.comparing import (
    BEGAN_S,
    N_READINGS,
    UNITS,
    WINDOW_A,
    WINDOW_B,
    asked,
    table,
)

SETTINGS = ReplaySettings(device="cpu")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return table(tmp_path / "data.parquet")


def test_what_only_one_can_see_is_found_by_that_one_alone(
    wide: Path, narrow: Path, data: Path
) -> None:
    comparison = run(asked(wide, narrow, data), SETTINGS)

    (alone,) = comparison.by("a")
    assert alone.unit == "pump-1"
    assert alone.a[0].peak.sensors[0].name == "temperature"
    assert {episode.unit for episode in comparison.by("both")} == {"pump-2"}
    assert comparison.by("b") == []


def test_each_takes_as_many_readings_as_its_window_needs(
    wide: Path, narrow: Path, data: Path
) -> None:
    comparison = run(asked(wide, narrow, data), SETTINGS)

    n_readings = len(UNITS) * N_READINGS
    assert comparison.a.n_scored == n_readings - len(UNITS) * (WINDOW_A - 1)
    assert comparison.b.n_scored == n_readings - len(UNITS) * (WINDOW_B - 1)
    assert comparison.agreement.n_readings == comparison.a.n_scored
    watched_s = len(UNITS) * (N_READINGS - 1)
    assert comparison.a.unit_days * 86_400 == pytest.approx(watched_s)


def test_a_detector_agrees_with_itself(wide: Path, data: Path) -> None:
    comparison = run(asked(wide, wide, data), SETTINGS)

    assert {episode.found_by for episode in comparison.episodes} == {"both"}
    assert {episode.lead_s for episode in comparison.episodes} == {0.0}
    assert comparison.agreement.rank_correlation == pytest.approx(1.0)
    assert comparison.n_other_sensor_first == 0
    assert {blame.share_a - blame.share_b for blame in comparison.blame} == {0.0}


def test_scores_are_those_of_pipeline_score(wide: Path, data: Path) -> None:
    loaded = load(wide)
    scorer = Scorer(loaded.detector, choose_device("cpu"))
    rows = scored_rows(loaded, scorer, read_table(data))
    score_N = np.concatenate([each.score_N for each in rows])

    comparison = run(asked(wide, wide, data), SETTINGS)

    np.testing.assert_array_equal(
        np.sort(comparison.agreement.score_S2[:, 0]), np.sort(score_N[~np.isnan(score_N)])
    )


def test_labels_of_the_file_say_what_was_false(
    wide: Path, narrow: Path, tmp_path: Path
) -> None:
    data = table(tmp_path / "data.parquet", labelled=True)

    comparison = run(asked(wide, narrow, data), SETTINGS)

    found_a, found_b = comparison.a.against_labels, comparison.b.against_labels
    assert found_a is not None
    assert found_b is not None
    assert (found_a.n_found, found_b.n_found) == (3, 2)
    assert (comparison.a.n_false, comparison.b.n_false) == (0, 0)
    labelled_s = 29 + 29 + 9
    assert comparison.a.unlabelled_unit_days * 86_400 == pytest.approx(
        len(UNITS) * (N_READINGS - 1) - labelled_s
    )


def test_labels_of_a_file_of_their_own_go_before(
    wide: Path, narrow: Path, tmp_path: Path
) -> None:
    data = table(tmp_path / "data.parquet", labelled=True)
    labels = tmp_path / "labels.csv"
    labels.write_text("unit,begin,end\npump-1,1700000150,2023-11-14T22:16:19Z\n")

    comparison = run(asked(wide, narrow, data, labels=labels), SETTINGS)

    assert comparison.a.against_labels is not None
    assert comparison.a.against_labels.n_found == 1
    assert comparison.a.n_false == len(comparison.by("both"))


def written(path: Path, *events: tuple[str, float, float]) -> Path:
    """A file of labels; times count from the first reading."""
    lines = [f"{unit},{BEGAN_S + begin},{BEGAN_S + end}" for unit, begin, end in events]
    path.write_text("\n".join(["unit,begin,end", *lines]))
    return path


def figure(comparison: Comparison, what: str) -> tuple[str, str]:
    (row,) = [row for row in figure_rows(comparison) if row.what == what]
    return row.a, row.b


def test_labelled_events_of_other_units_and_times_count_for_nothing(
    wide: Path, narrow: Path, data: Path, tmp_path: Path
) -> None:
    known = [("pump-1", 150, 179), ("pump-2", 150, 179), ("pump-2", 230, 239)]
    others = [("pump-9", 0, 1e9), ("pump-8", 100, 200), ("pump-1", 1_000, 2_000)]
    labels = written(tmp_path / "labels.csv", *known, *others)

    comparison = run(asked(wide, narrow, data, labels=labels), SETTINGS)

    assert comparison.n_events_of_other_units == 2
    assert comparison.n_events_at_other_times == 1
    assert figure(comparison, "labelled events found") == ("3 of 3", "2 of 3")
    assert comparison.a.unlabelled_unit_days * 86_400 == pytest.approx(
        len(UNITS) * (N_READINGS - 1) - (29 + 29 + 9)
    )
    (said,) = [line for line in summary_lines(comparison) if "left out" in line]
    assert said.startswith("labelled events left out: 2 of units without readings, 1 of")


def test_labelled_events_that_overlap_count_once(
    wide: Path, narrow: Path, data: Path, tmp_path: Path
) -> None:
    labels = written(
        tmp_path / "labels.csv",
        *[("pump-2", 150, 179)] * 3,
        ("pump-2", 170, 200),
    )

    comparison = run(asked(wide, narrow, data, labels=labels), SETTINGS)

    assert figure(comparison, "labelled events found") == ("1 of 1", "1 of 1")
    assert comparison.b.unlabelled_unit_days * 86_400 == pytest.approx(
        len(UNITS) * (N_READINGS - 1) - 50
    )


def test_a_sensor_that_the_file_lacks_is_named(
    wide: Path, narrow: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.csv"
    data.write_text("time,pressure,vibration\n1,2,3\n")

    with pytest.raises(InputError, match=r"\['temperature'\] are missing"):
        run(asked(narrow, wide, data), SETTINGS)


def test_a_detector_that_finds_no_end_of_incidents_is_refused(
    wide: Path, narrow: Path, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(side, "MAX_INCIDENTS", 1)

    with pytest.raises(InputError, match="more than 1 incidents"):
        run(asked(wide, narrow, data), SETTINGS)


def test_progress_goes_from_nothing_to_all(
    wide: Path, narrow: Path, data: Path, tmp_path: Path
) -> None:
    told: list[float] = []

    run(asked(wide, narrow, data, page=tmp_path / "page.html"), SETTINGS, told.append)

    assert told == sorted(told)
    assert told[-1] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"data": None}, "expected either DATA"),
        ({"begin": "24h"}, "expected either DATA"),
        ({"end": "1h"}, "--to: DATA is read whole"),
        ({"limit": 10}, "--limit: DATA is read whole"),
        ({"page": Path("/")}, "--page /: expected a file"),
    ],
)
def test_what_does_not_go_together_is_refused(
    wide: Path, data: Path, fields: dict[str, object], said: str
) -> None:
    given = asked(wide, wide, **({"data": data} | fields))  # type: ignore[arg-type]

    with pytest.raises(InputError, match=said):
        run(given, SETTINGS)


def test_json_tells_of_every_incident_and_writes_no_nan(
    wide: Path, narrow: Path, tmp_path: Path
) -> None:
    data = table(tmp_path / "data.parquet", units=["pump-3"])

    said = json.loads(json_text(run(asked(wide, narrow, data), SETTINGS)))

    assert said["episodes"] == []
    assert said["a"]["n_events"] is None
    assert said["scores"]["rank_correlation"] is not None
    assert math.isfinite(said["a"]["false_alarms_per_unit_day"])


def test_the_table_puts_both_side_by_side(
    wide: Path, narrow: Path, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    show_comparison(run(asked(wide, narrow, data), SETTINGS))

    lines = capsys.readouterr().out.splitlines()
    rows = {line[:28].strip(): line[28:].split() for line in lines}
    assert rows["only here"] == ["1", "0"]
    assert rows["sensors, window"] == ["3,", "8", "2,", "6"]
    assert any(line.startswith("only A    pump-1") for line in lines)
