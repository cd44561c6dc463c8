"""`trainer report`: what the page says, that it is safe and small, and how it refuses."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import trainer.review
from pipeline.errors import DetectorError, InputError
from pipeline.events import Span, compare, summary_lines
from pipeline.records import FloatArray
from pipeline.times import iso_time
from tests import builders
from trainer.__main__ import main
from trainer.page import number_text
from trainer.report_file import write_report
from trainer.settings import TrainerSettings
from trainer.train import train

HOSTILE = "<script>alert('x')</script>\"&$\\frac{"
HOSTILE_SENSOR = "<script>alert('x')</script>&$x_{"
WINDOW = 8
STEP_S = 60.0
START_S = 1_700_000_000.0
N_READINGS = 600
FAULT = range(300, 330)


@dataclass(frozen=True)
class Trained:
    folder: Path
    digest: str
    sensors: tuple[str, ...]


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A tiny detector, one of whose sensors has a hostile name."""
    history = builders.history(builders.sensor_series(1_500))
    sensors = (*history.sensors[:-1], HOSTILE_SENSOR)
    object.__setattr__(history, "sensors", sensors)
    folder = tmp_path_factory.mktemp("trained") / "pumps"
    settings = TrainerSettings(window=WINDOW, epochs=15, false_alarms_per_day=5.0)
    trained = train(history, "ae", settings, folder, lambda done, epoch: None)
    return Trained(folder, trained.loaded.digest, sensors)


def series_with_fault(seed: int = 1, n_readings: int = N_READINGS) -> FloatArray:
    values_NF = builders.sensor_series(n_readings, seed)
    values_NF[FAULT.start : FAULT.stop] *= -3.0
    return values_NF


def write_table(
    path: Path,
    sensors: Sequence[str],
    values_by_unit: dict[str, FloatArray],
    labelled: Sequence[int] | None = FAULT,
) -> Path:
    """A table with units a minute a reading; `labelled` are positions in each unit."""
    columns: dict[str, list[object]] = {"time": [], "unit": []}
    columns |= {name: [] for name in sensors}
    if labelled is not None:
        columns["label"] = []
    for unit, values_NF in values_by_unit.items():
        columns["time"] += [START_S + STEP_S * n for n in range(len(values_NF))]
        columns["unit"] += [unit] * len(values_NF)
        for f, name in enumerate(sensors):
            columns[name] += values_NF[:, f].tolist()
        if labelled is not None:
            columns["label"] += [int(n in labelled) for n in range(len(values_NF))]
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


def alert_line(
    digest: str,
    opened: int,
    closed: int | None,
    unit: str = "pump-7",
    sensor: str = "sensor-0",
) -> str:
    """The last alert of an incident from reading `opened` to `closed`."""
    state = "opened" if closed is None else "closed"
    at = [iso_time(START_S + STEP_S * n) for n in (opened, closed or opened)]
    return json.dumps(
        {
            "schema": "alert/1",
            "incident_id": f"{unit}-{opened}",
            "state": state,
            "unit": unit,
            "opened_at": at[0],
            "time": at[1],
            "closed_at": None if closed is None else at[1],
            "score": 1.5,
            "peak_score": 1.5,
            "severity": "warning",
            "sensors": [
                {"name": sensor, "contribution": 1.0, "observed": None, "expected": 2.0}
            ],
            "detector": {"name": "pumps", "digest": digest},
            "source": {"topic": "r", "partition": 0, "first_offset": 0, "last_offset": 1},
        }
    )


class Page(HTMLParser):
    """A page's tags with their attributes, and its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


Reported = Callable[..., Page]


@pytest.fixture
def reported(detector: Trained, tmp_path: Path) -> Reported:
    """Reports on a table and reads the page; the table has one fault, labelled."""

    def report(
        values_by_unit: dict[str, FloatArray] | None = None,
        labelled: Sequence[int] | None = FAULT,
        alerts: Sequence[str] | None = None,
    ) -> Page:
        values_by_unit = values_by_unit or {"pump-7": series_with_fault()}
        data = write_table(
            tmp_path / "stream.parquet", detector.sensors, values_by_unit, labelled
        )
        log = None
        if alerts is not None:
            log = tmp_path / "alerts.jsonl"
            log.write_text("\n".join([*alerts, ""]))
        out = tmp_path / "page.html"
        write_report(detector.folder, data, out, log, "cpu")
        return Page(out.read_text())

    return report


def test_a_labelled_fault_is_found(reported: Reported) -> None:
    assert "1 of 1 labelled events found, 0 missed" in reported().text


def test_the_verdict_counts_the_incidents_of_the_alerts(
    reported: Reported, detector: Trained
) -> None:
    def alert(opened: int, closed: int | None) -> str:
        return alert_line(detector.digest, opened, closed)

    page = reported(
        labelled=[*range(100, 120), *range(200, 220), *range(300, 320)],
        alerts=[alert(105, 130), alert(150, 160), alert(308, None), alert(400, 410)],
    )

    # The incident that opens at 308 is still open, so the last one lies within it.
    assert (
        "2 of 3 labelled events found, 1 missed, 2 false alarms, median delay 6 min."
        in page.text
    )
    assert page.text.count("missed") >= 3
    assert "still open" in page.text


def test_a_repeated_alert_is_one_incident(reported: Reported, detector: Trained) -> None:
    opened, closed = (alert_line(detector.digest, 305, end) for end in (None, 340))

    page = reported(alerts=[opened, closed, opened])

    assert "0 false alarms" in page.text
    assert "of 1 incidents" in page.text
    assert "still open" not in page.text


def test_alerts_that_do_not_concern_the_data_are_left_out_and_said_so(
    reported: Reported, detector: Trained
) -> None:
    page = reported(
        alerts=[
            alert_line(detector.digest, 305, 340),
            alert_line(detector.digest, 305, 340, unit="elsewhere"),
            alert_line(detector.digest, N_READINGS + 5, None),
            alert_line("sha256:00", 20, 30),
        ]
    )

    assert "of 1 incidents" in page.text
    assert "2 incidents outside the data's units and times" in page.text
    assert "1 alerts of other detectors" in page.text


def test_without_labels_it_claims_neither_found_nor_false(reported: Reported) -> None:
    page = reported(labelled=None)

    assert re.search(r"\d+ incidents?\.", page.text)
    assert "The data has no labels" in page.text
    assert "The highest incidents from near" in page.text
    assert "missed" not in page.text.replace("and missed otherwise", "")


def test_names_from_data_and_alerts_are_text(reported: Reported, detector: Trained) -> None:
    unit = "<img src=x onerror=alert(1)>{{ 7 * 7 }}"
    page = reported(
        {unit: series_with_fault(), "b": series_with_fault(2)},
        alerts=[alert_line(detector.digest, 305, 340, unit=unit, sensor=HOSTILE)],
    )

    assert not {tag for tag, _ in page.tags} & {"script", "img", "iframe", "object"}
    assert not [a for _, attrs in page.tags for a in attrs if a.startswith("on")]
    assert unit in page.text
    assert HOSTILE in page.text
    assert HOSTILE_SENSOR in page.text


def test_the_page_needs_nothing_from_outside(reported: Reported) -> None:
    page = reported()

    links = [
        value or ""
        for _, attrs in page.tags
        for name, value in attrs.items()
        if name in ("src", "href", "xlink:href", "srcset", "data", "action")
    ]
    assert links
    assert all(link.startswith("#") for link in links)
    assert not {tag for tag, _ in page.tags} & {"script", "link", "base"}
    styles = "".join(str(attrs.get("style", "")) for _, attrs in page.tags) + page.text
    assert "@import" not in styles
    assert not re.findall(r"url\((?!#)", styles)


def test_links_lead_somewhere_on_the_page(reported: Reported) -> None:
    units = {f"pump-{u}": series_with_fault(u) for u in range(8)}
    page = reported({"quiet": builders.sensor_series(200)} | units)

    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    anchors = {attrs["href"] for tag, attrs in page.tags if tag == "a"}
    assert {(anchor or "").removeprefix("#") for anchor in anchors} <= ids


def test_every_picture_says_what_it_shows(reported: Reported) -> None:
    page = reported()

    pictures = [attrs for _, attrs in page.tags if attrs.get("role") == "img"]
    assert len(pictures) == sum(tag == "svg" for tag, _ in page.tags)
    assert all(attrs.get("aria-label") for attrs in pictures)


def test_columns_and_rows_of_tables_have_headings(reported: Reported) -> None:
    headings = [attrs for tag, attrs in reported().tags if tag == "th"]

    assert headings
    assert {attrs.get("scope") for attrs in headings} == {"row", "col"}


def test_a_longer_table_makes_no_larger_page(
    detector: Trained, tmp_path: Path, reported: Reported
) -> None:
    reported({"pump-7": series_with_fault(n_readings=3_000)})
    n_bytes = (tmp_path / "page.html").stat().st_size
    reported({"pump-7": series_with_fault(n_readings=60_000)})

    assert (tmp_path / "page.html").stat().st_size < 2 * n_bytes


def test_of_many_units_the_most_eventful_have_pictures(reported: Reported) -> None:
    quiet = {f"quiet-{u}": builders.sensor_series(40, u) for u in range(12)}

    page = reported(quiet | {"broken": series_with_fault()})

    assert "Pictures are of 6 of 13 units" in page.text
    assert "broken" in page.text
    assert "quiet-11" not in page.text


def test_a_unit_too_short_to_score_is_told_of(reported: Reported) -> None:
    page = reported({"pump-7": series_with_fault(), "new": builders.sensor_series(3)})

    assert "1 units have no score" in page.text


def test_missing_values_and_a_silent_sensor_are_drawn_as_far_as_they_go(
    reported: Reported,
) -> None:
    values_NF = series_with_fault()
    values_NF[50:90] = np.nan
    values_NF[:, 1] = np.nan

    assert "labelled event" in reported({"pump-7": values_NF}).text


def test_the_same_input_gives_the_same_page(tmp_path: Path, reported: Reported) -> None:
    reported()
    first = (tmp_path / "page.html").read_bytes()
    reported()

    assert (tmp_path / "page.html").read_bytes() == first


def test_missing_sensors_are_named(detector: Trained, tmp_path: Path) -> None:
    data = write_table(tmp_path / "a.parquet", ["sensor-0"], {"u": series_with_fault()})

    with pytest.raises(
        InputError, match=r"2 of the detector's 3 sensors .* sensor-1, <scr"
    ):
        write_report(detector.folder, data, tmp_path / "page.html", None, "cpu")
    assert [p.name for p in tmp_path.iterdir()] == ["a.parquet"]


def test_data_shorter_than_a_window_is_refused(tmp_path: Path, reported: Reported) -> None:
    with pytest.raises(InputError, match=f"at least {WINDOW} readings .* longest has 5"):
        reported({"pump-7": builders.sensor_series(5)}, labelled=None)
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("line", ["{", "[]", '{"schema": "alert/2"}', "\udcff"])
def test_an_unreadable_alert_is_named_by_its_line(
    line: str, detector: Trained, tmp_path: Path
) -> None:
    data = write_table(tmp_path / "a.parquet", detector.sensors, {"u": series_with_fault()})
    alerts = tmp_path / "alerts.jsonl"
    good = alert_line(detector.digest, 10, 20)
    alerts.write_bytes(f"{good}\n\n{line}\n".encode(errors="surrogateescape"))

    with pytest.raises(InputError, match=r"alerts\.jsonl: line 3: expected"):
        write_report(detector.folder, data, tmp_path / "page.html", alerts, "cpu")


def test_an_alert_whose_time_is_none_is_named_by_its_line(
    reported: Reported, detector: Trained
) -> None:
    line = alert_line(detector.digest, 10, 20)

    with pytest.raises(InputError, match=r"line 1: .*Invalid isoformat"):
        reported(alerts=[line.replace('"opened_at": "', '"opened_at": "x')])


def test_alerts_of_another_detector_only_are_refused(reported: Reported) -> None:
    with pytest.raises(InputError, match="all 1 alerts are of another detector"):
        reported(alerts=[alert_line("sha256:00", 20, 30)])


def test_a_folder_that_is_no_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DetectorError, match=r"manifest\.json"):
        write_report(tmp_path, tmp_path / "x.csv", tmp_path / "page.html", None, "cpu")


def test_a_page_cannot_be_written_over_a_folder_nor_its_input(
    detector: Trained, tmp_path: Path
) -> None:
    data = write_table(tmp_path / "a.parquet", detector.sensors, {"u": series_with_fault()})
    before = data.read_bytes()

    for out, why in (
        (tmp_path, "it is a folder"),
        (data, "replace what it is made from"),
        (tmp_path / "no" / "page.html", "is no writable folder"),
        (data / "page.html", "is no writable folder"),
        (tmp_path / ("x" * 300), "cannot be written"),
    ):
        with pytest.raises(InputError, match=why):
            write_report(detector.folder, data, out, None, "cpu")
    assert data.read_bytes() == before
    assert list(tmp_path.iterdir()) == [data]


def test_a_page_that_fails_leaves_the_one_before(
    tmp_path: Path, reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = tmp_path / "page.html"
    page.write_text("the one before")

    def disk_full(self: Path, content: bytes) -> None:
        self.touch()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", disk_full)
    with pytest.raises(InputError, match="No space left"):
        reported()

    assert page.read_text() == "the one before"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["page.html", "stream.parquet"]


def test_a_wrong_input_is_one_line_and_exit_code_2(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    argv = ["trainer", "report", str(tmp_path), "x.csv", "--out", str(tmp_path / "p.html")]
    monkeypatch.setattr("sys.argv", argv)

    with pytest.raises(SystemExit) as ended:
        main()

    assert ended.value.code == 2
    assert re.fullmatch(
        r"\s*error: .*manifest\.json: cannot be read.*\n", capsys.readouterr().err
    )


def test_the_summary_says_so_when_events_were_missed() -> None:
    events = [Span("u", 0.0, 10.0), Span("u", 100.0, 110.0)]
    incidents = [Span("u", 106.0, 120.0), Span("u", 50.0, 60.0)]

    verdict, rate = summary_lines(compare(events, incidents), 0.5, unit_days=4.0)

    assert verdict == (
        "1 of 2 labelled events found, 1 missed, 1 false alarm, median delay 6 s"
    )
    assert "0.5 promised, 0.25 observed in 4 unit-days" in rate


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.82, "0.82"), (-1234.5, "-1,234"), (3e9, "3.00e+09"), (None, "–")],
)
def test_numbers_are_written_as_people_write_them(value: float, text: str) -> None:
    assert number_text(value) == text


def test_the_page_does_not_depend_on_how_scoring_is_cut_up(
    reported: Reported, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = reported()
    monkeypatch.setattr(trainer.review, "MAX_CHUNK_ROWS", 37)

    assert reported().text == whole.text
