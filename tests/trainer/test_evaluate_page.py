"""The page of `trainer evaluate`: figures, pictures, and what they mean."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from pipeline.errors import InputError
from pipeline.records import FloatArray
from tests.trainer.reporting import (
    FAULT,
    HOSTILE,
    OnDisk,
    Page,
    series_with_fault,
    write_table,
)
from trainer.evaluate_page import COLUMNS, MAX_PICTURES, NAMES, figure_text
from trainer.evaluate_show import evaluate_file

PageOf = Callable[..., Page]


@pytest.fixture
def page_of(detector: OnDisk, tmp_path: Path) -> PageOf:
    """Evaluates a table and reads the page; by default one unit with one fault."""

    def page(
        values_by_unit: dict[str, FloatArray] | None = None,
        labelled: Sequence[int] = FAULT,
        times_s: Sequence[float] | None = None,
    ) -> Page:
        values_by_unit = values_by_unit or {"pump-7": series_with_fault()}
        data, out = tmp_path / "stream.parquet", tmp_path / "page.html"
        write_table(data, detector.sensors, values_by_unit, labelled, times_s)
        evaluate_file(detector.folder, data, out, "cpu")
        return Page(out.read_text())

    return page


def n_pictures(page: Page) -> int:
    return sum(tag == "svg" for tag, _ in page.tags)


def test_it_has_every_method_and_every_figure(page_of: PageOf) -> None:
    page = page_of()

    for words in (*NAMES.values(), *COLUMNS, "1 of 1 labelled events found", "promised"):
        assert words in page.text


def test_it_says_what_the_figures_are_worth(page_of: PageOf) -> None:
    text = page_of().text

    assert "Point-adjusted F1 is not offered" in text
    assert "F1 alone deceives" in text
    assert "Random scores have an AP of about the share of labelled readings (5.0%" in text


def test_it_has_a_curve_and_a_timeline(page_of: PageOf) -> None:
    page = page_of()

    assert n_pictures(page) == 2
    labels = [attributes.get("aria-label") or "" for _, attributes in page.tags]
    assert sum("Precision against recall" in label for label in labels) == 1
    assert sum("1 labelled events" in label for label in labels) == 1


def test_pictures_are_of_a_few_units_and_it_says_so(page_of: PageOf) -> None:
    values_NF = series_with_fault()
    page = page_of({f"pump-{n}": values_NF for n in range(MAX_PICTURES + 2)})

    assert n_pictures(page) == 1 + MAX_PICTURES
    assert f"Pictures are of {MAX_PICTURES} of {MAX_PICTURES + 2} units" in page.text
    assert "pump-7" in page.text


def test_without_labels_it_shows_no_curve(page_of: PageOf) -> None:
    page = page_of(labelled=[])

    assert n_pictures(page) == 1
    assert "Nothing is labelled in this data" in page.text
    assert "nan" not in page.text


def test_a_baseline_that_is_as_good_is_named(page_of: PageOf) -> None:
    before_the_first_window = range(3)

    page = page_of(labelled=before_the_first_window)

    assert "A baseline does as well or better" in page.text


def test_units_without_a_score_or_in_disorder_do_not_break_it(page_of: PageOf) -> None:
    values_NF = series_with_fault()
    times_s = [1_700_000_000.0 + 60.0 * (n if n % 7 else max(n - 9, 0)) for n in range(600)]

    page = page_of({"a": values_NF, "b": values_NF}, times_s=times_s)

    assert n_pictures(page) == 3


def test_it_needs_nothing_from_elsewhere_and_runs_nothing(page_of: PageOf) -> None:
    page = page_of({HOSTILE: series_with_fault()})

    assert not {"script", "link", "img", "iframe"} & {tag for tag, _ in page.tags}
    for _, attributes in page.tags:
        assert not {name for name in attributes if name.startswith("on")}
        assert (attributes.get("href") or "#").startswith("#")
    assert HOSTILE[:20] in page.text


def test_a_page_that_would_replace_its_data_is_refused(
    detector: OnDisk, tmp_path: Path
) -> None:
    data = write_table(tmp_path / "d.parquet", detector.sensors, {"a": series_with_fault()})
    content = data.read_bytes()

    with pytest.raises(InputError, match="--page"):
        evaluate_file(detector.folder, data, data, "cpu")

    assert data.read_bytes() == content


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("vus_pr", 0.12345, "0.123"),
        ("far", 12.345, "12.3"),
        ("delay_median_s", 90.0, "2 min"),
        ("false_alarms_per_day", 0.4449, "0.445"),
        ("event_f1", float("nan"), "–"),
    ],
)
def test_figures_are_written_as_people_read_them(
    name: str, value: float, expected: str
) -> None:
    assert figure_text(name, value) == expected
