import io
from pathlib import Path

import pytest
from rich.console import Console

from tests import builders
from trainer.settings import TrainerSettings
from trainer.tuning.objective import choose_judged
from trainer.tuning.page import render
from trainer.tuning.rows import TrialRow, best_of, ranked
from trainer.tuning.show import SearchView
from trainer.tuning.space import SEARCHED, Choice, space_of
from trainer.tuning.summary import Summary

SETTINGS = TrainerSettings(device="cpu", test_share=0.2, steps=20)
SPACE = space_of(SETTINGS, None, 128, n_sensors=3)
HOSTILE = Path("/data/<script>alert(1)</script>.csv")


def row(number: int, value: float | None = None, **fields: object) -> TrialRow:
    choice = SPACE.default if number == 0 else Choice("gru", 8 + number, 4, 1e-3)
    parts = {"spike": value or 0.0, "shift": 0.5}
    known: dict[str, object] = {
        "state": "pruned" if value is None else "complete",
        "rung": 0.3,
        "parts": parts,
        "seconds": 4.0,
        "reason": "",
    }
    return TrialRow(number, choice, value=value, **{**known, **fields})  # type: ignore[arg-type]


ROWS = [
    row(0, 0.40),
    row(1, 0.45),
    row(2),
    row(3, state="failed", rung=None, reason="the loss <b>became</b> nan"),
    row(4, state="stopped", rung=None),
]


@pytest.fixture(scope="module")
def summary() -> Summary:
    history = builders.history(builders.sensor_series(600))
    judged = choose_judged(history, SETTINGS, None)
    return Summary(HOSTILE, judged, SPACE, SETTINGS, ["<i>a note</i>"], 20)


def best() -> TrialRow:
    found = best_of(ROWS)
    assert found is not None
    return found


def test_the_page_says_what_was_found_and_how_to_have_it_again(summary: Summary) -> None:
    page = render(summary, ROWS, best())

    assert "--model gru --window 9 --latent 4 --seed 0 --set learning_rate=0.001" in page
    assert "0.4500" in page
    assert "+0.0500 to the default" in page
    assert "No labels are used" in page
    assert "last 20 % of each unit" in page


def test_the_page_has_a_picture_for_the_search_and_one_for_each_setting(
    summary: Summary,
) -> None:
    assert render(summary, ROWS, best()).count("<svg") == 1 + len(SEARCHED)


def test_what_comes_from_outside_is_escaped(summary: Summary) -> None:
    page = render(summary, ROWS, best())

    assert "<script" not in page
    assert "<b>became" not in page
    assert "<i>a note" not in page


def test_the_page_loads_nothing_from_elsewhere(summary: Summary) -> None:
    page = render(summary, ROWS, best())

    assert "http" not in page.replace("http-equiv", "")
    assert "src=" not in page.replace("default-src", "").replace("style-src", "")


def test_a_page_of_one_trial_says_that_nothing_better_was_found(summary: Summary) -> None:
    page = render(summary, ROWS[:1], ROWS[0])

    assert "Nothing better than the default settings was found" in page


def test_the_best_stand_first_and_what_failed_last() -> None:
    assert [each.number for each in ranked(ROWS)] == [1, 0, 2, 3, 4]


def test_the_live_table_has_the_best_first_and_what_runs_last(summary: Summary) -> None:
    rows = [*ROWS, row(5, state="running", rung=None, seconds=None)]
    console = Console(file=io.StringIO(), width=120, color_system=None)

    console.print(SearchView(summary).table(rows, n_rows=4))

    assert isinstance(console.file, io.StringIO)
    title, _, *lines = console.file.getvalue().splitlines()
    assert "4 of 20 trials, best 0.4500 (default settings 0.4000)" in title
    assert [line.split()[0] for line in lines[:4]] == ["1", "0", "2", "5"]
    assert "and 1 more" in lines[4]


def test_a_line_is_printed_once_for_each_trial(
    summary: Summary, capsys: pytest.CaptureFixture[str]
) -> None:
    with SearchView(summary) as view:
        view.update(ROWS[:2], 0.5)
        view.update(ROWS, 0.7)

    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"trial {n}" for n in range(5)]
    assert lines[2].endswith("(0.3000) pruned, 4.0 s")
