"""`trainer report`: what the page says, and that it is safe and small."""

import re
from pathlib import Path

import numpy as np
import pytest

import trainer.review
from pipeline.events import Span, compare, summary_lines
from pipeline.pages.template import number_text
from tests import builders
from tests.trainer.reporting import (
    HOSTILE,
    HOSTILE_SENSOR,
    N_READINGS,
    WINDOW,
    OnDisk,
    Reported,
    alert_line,
    series_with_fault,
)


def test_a_labelled_fault_is_found(reported: Reported) -> None:
    assert "1 of 1 labelled events found, 0 missed" in reported().text


def test_the_verdict_counts_the_incidents_of_the_alerts(
    reported: Reported, detector: OnDisk
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


def test_a_repeated_alert_is_one_incident(reported: Reported, detector: OnDisk) -> None:
    opened, closed = (alert_line(detector.digest, 305, end) for end in (None, 340))

    page = reported(alerts=[opened, closed, opened])

    assert "0 false alarms" in page.text
    assert "of 1 incidents" in page.text
    assert "still open" not in page.text


def test_alerts_that_do_not_concern_the_data_are_left_out_and_said_so(
    reported: Reported, detector: OnDisk
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


def test_names_from_data_and_alerts_are_text(reported: Reported, detector: OnDisk) -> None:
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
    detector: OnDisk, tmp_path: Path, reported: Reported
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


def test_late_rows_are_left_out_and_told_of(reported: Reported) -> None:
    page = reported({"pump-7": series_with_fault()}, times_s=[*range(1, 600), 0.5])

    assert "600 readings of 1 unit" in page.text
    assert f"{599 - WINDOW + 1} of them scored" in page.text
    assert "1 row was left out" in page.text


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
