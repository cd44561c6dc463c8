"""`trainer evaluate` from files to what is printed: a table, or one JSON object."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table as PrintedTable

from pipeline.detector import artifact
from pipeline.files import check_writable, written_whole
from pipeline.pages.template import number_text
from pipeline.score import Scorer, choose_device
from pipeline.table import read_table
from trainer.evaluate import BASELINES, DETECTOR, Evaluation, evaluate
from trainer.evaluate_page import COLUMNS, cells, render

PLAIN_WIDTH = 132
"""Characters in a line where no terminal says how many fit."""
MIN_WIDTH = 116
"""A line of all figures; where it does not fit, those of events follow below."""
N_READING_COLUMNS = 5
"""Of `COLUMNS`, those that judge readings."""


def evaluate_file(
    detector: Path,
    data: Path,
    page: Path | None,
    device: str,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Evaluation:
    """Measure the detector of a folder on a file, and write the page if it is asked for.

    Args:
        detector: its folder.
        data: CSV or Parquet, with labels.
        page: the HTML file; replaced if it is there.
        device: auto, cpu, cuda or cuda:N.
        on_progress: told the share of readings that are scored, 0 to 1.

    Raises:
        InputError: an input cannot be used, or `page` cannot be written.
    """
    if page is not None:
        check_writable(page, [data, detector], option="--page")
    loaded = artifact.load(detector)
    reference_BTF = artifact.load_reference(detector, loaded)
    scorer = Scorer(loaded.detector, choose_device(device))
    table = read_table(data)
    evaluation = evaluate(data, table, loaded, scorer, reference_BTF, on_progress)
    if page is not None:
        # A name may hold half a character, which UTF-8 cannot write.
        content = render(evaluation).encode("utf-8", errors="replace")
        with written_whole(page, "the page") as file:
            file.write(content.decode("utf-8"))
    return evaluation


def json_text(evaluation: Evaluation) -> str:
    """The figures as one line of JSON."""
    return json.dumps(as_json(evaluation), allow_nan=False)


def as_json(evaluation: Evaluation) -> dict[str, Any]:
    """The figures as JSON can hold them: null where one is not defined."""
    figures = {name: q.figures() for name, q in evaluation.by_method.items()}
    return {
        "detector": _without_nan(figures[DETECTOR]),
        "baselines": {name: _without_nan(figures[name]) for name in BASELINES},
        "units": [_without_nan(asdict(unit)) for unit in evaluation.units],
        "promised_false_alarms_per_day": evaluation.promised_per_day,
        "n_rows": evaluation.n_rows,
        "n_unscored": evaluation.n_unscored,
    }


def _without_nan(fields: dict[str, Any]) -> dict[str, Any]:
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in fields.items()
    }


def show_evaluation(evaluation: Evaluation) -> None:
    """Print one line per method, the promised rate, and what had no score."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PLAIN_WIDTH, color_system=None)
    whole = slice(0, len(COLUMNS))
    halves = (slice(0, N_READING_COLUMNS), slice(N_READING_COLUMNS, len(COLUMNS)))
    for columns in [whole] if console.width >= MIN_WIDTH else halves:
        console.print(_table(evaluation, columns), "")
    for line in _summary(evaluation):
        console.print(line, markup=False, soft_wrap=True)


def _table(evaluation: Evaluation, columns: slice) -> PrintedTable:
    printed = PrintedTable(box=None, pad_edge=False, header_style="bold")
    printed.add_column("", no_wrap=True)
    for column in COLUMNS[columns]:
        printed.add_column(column, justify="right", no_wrap=True)
    for method, quality in evaluation.by_method.items():
        style = "bold" if method == DETECTOR else None
        name = method.replace("_", " ")
        printed.add_row(name, *cells(quality)[columns], style=style)
    return printed


def _summary(evaluation: Evaluation) -> list[str]:
    n_units = len(evaluation.units)
    n_events = sum(unit.n_events for unit in evaluation.units)
    threshold = evaluation.loaded.manifest.threshold
    at_most = threshold.at_most_false_alarms_per_unit_day
    promised = number_text(threshold.expected_false_alarms_per_unit_day)
    if at_most is not None:
        promised += f" (at most {number_text(at_most)})"
    observed = number_text(evaluation.by_method[DETECTOR].detections.false_alarms_per_day)
    rows, units = _counted(evaluation.n_rows, "row"), _counted(n_units, "unit")
    unscored = _counted(evaluation.n_unscored, "row")
    return [
        f"{rows} of {units}, {_counted(n_events, 'labelled event')}",
        f"{unscored} without a score, as a unit's first window was not full or they came "
        "late: counted as score 0 and no alert",
        f"false alarms per unit and day: {promised} promised, {observed} observed",
    ]


def _counted(n: int, what: str) -> str:
    return f"{n:,} {what}{'' if n == 1 else 's'}"
