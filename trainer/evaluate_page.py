"""An evaluation as one HTML page: words and pictures into the template."""

import math
from typing import Any

import numpy as np

from pipeline.events import duration_text, usual_step_s
from pipeline.pages.drawing import Bar
from pipeline.pages.envelope import Envelope, EnvelopeBuilder
from pipeline.pages.template import number_text, style_sheet
from pipeline.records import BoolArray
from trainer.baselines import NOMINAL_FAR
from trainer.evaluate import BASELINES, DETECTOR, Evaluation, UnitRows
from trainer.page_template import family_words, page_template
from trainer.pictures import timeline
from trainer.quality import Quality
from trainer.ranking import runs
from trainer.ranking_picture import Point, precision_recall_picture
from trainer.review import OVERVIEW_BINS, Curves

COLUMNS = (
    *("VUS-PR", "AP", "F1", "FAR %", "MAR %", "event P", "event R", "event F1"),
    *("delay", "delay p90", "false/day"),
)
"""Headings for `Quality.figures`, in their order."""
NAMES = {
    "random": "random",
    "constant": "constant",
    "always_alert": "always alert",
    "mahalanobis": "Mahalanobis distance",
    "nearest_window": "nearest normal window",
}
COLOUR_OF = {"mahalanobis": "event", "nearest_window": "expected", DETECTOR: "observed"}
"""Of each line in the picture of precision and recall, the last one on top."""
MAX_PICTURES = 6
"""Units with a picture: those with the most events."""
MAX_UNIT_ROWS = 200


def figure_text(name: str, value: float) -> str:
    """One of `Quality.figures` as people read it; a dash where it is not defined."""
    if math.isnan(value):
        return "–"
    if name.startswith("delay"):
        return duration_text(value)
    if name == "false_alarms_per_day":
        return number_text(value)
    return f"{value:.1f}" if name in ("far", "mar") else f"{value:.3f}"


def render(evaluation: Evaluation) -> str:
    """The page. Whatever comes from data is escaped by the template."""
    rows, units = evaluation.rows, evaluation.units
    steps_s = [usual_step_s(np.sort(unit.time_s_N)) for unit in rows]
    template = page_template("evaluate_page.html.j2", float(np.median(steps_s)))
    shown = sorted(range(len(units)), key=lambda u: (-units[u].n_events, u))
    by_method = evaluation.by_method
    return template.render(
        style=style_sheet(),
        evaluation=evaluation,
        manifest=evaluation.loaded.manifest,
        family=family_words(evaluation.loaded),
        first_s=min(float(unit.time_s_N.min()) for unit in rows),
        last_s=max(float(unit.time_s_N.max()) for unit in rows),
        columns=COLUMNS,
        text=figure_text,
        methods=[
            {"name": NAMES.get(name, name), "is_ours": name == DETECTOR, "cells": cells(q)}
            for name, q in by_method.items()
        ],
        summary=_summary(evaluation),
        share=float(np.mean(_labels(evaluation))),
        nominal_far=NOMINAL_FAR,
        curve=_curve(evaluation),
        pictures=[
            {"unit": rows[u].unit, "n_events": units[u].n_events, "svg": _picture(rows[u])}
            for u in sorted(shown[:MAX_PICTURES])
        ],
        units=units[:MAX_UNIT_ROWS],
        notes=[*evaluation.notes, *_left_out(len(units))],
    )


def cells(quality: Quality) -> list[str]:
    """A line of the table."""
    return [figure_text(name, value) for name, value in quality.figures().items()]


def _summary(evaluation: Evaluation) -> dict[str, Any]:
    by_method = evaluation.by_method
    ours = by_method[DETECTOR]
    n_events = sum(unit.n_events for unit in evaluation.units)
    best = max(BASELINES, key=lambda name: by_method[name].vus_pr)
    recall = ours.detections.event_recall
    return {
        "n_events": n_events,
        "n_found": round(recall * n_events) if n_events else 0,
        "vus_pr": ours.vus_pr,
        "best": NAMES[best],
        "best_vus_pr": by_method[best].vus_pr,
        "random_vus_pr": by_method["random"].vus_pr,
        "is_better": ours.vus_pr > by_method[best].vus_pr,
        "ours": ours,
        "delay": figure_text("delay_median_s", ours.detections.delay_median_s),
    }


def _labels(evaluation: Evaluation) -> BoolArray:
    return np.concatenate([unit.label_N for unit in evaluation.rows])


def _curve(evaluation: Evaluation) -> str | None:
    label_N = _labels(evaluation)
    if not label_N.any():
        return None
    score_by_colour = {
        colour: np.concatenate([unit.verdicts[name].score_N for unit in evaluation.rows])
        for name, colour in COLOUR_OF.items()
    }
    is_alert_N = np.concatenate(
        [unit.verdicts[DETECTOR].is_alert_N for unit in evaluation.rows]
    )
    alerts = None
    if is_alert_N.any():
        n_true = int((label_N & is_alert_N).sum())
        alerts = Point(n_true / int(is_alert_N.sum()), n_true / int(label_N.sum()))
    return precision_recall_picture(label_N, score_by_colour, alerts)


def _picture(unit: UnitRows) -> str:
    """Score over time, with the labelled events and the incidents."""
    first_s, last_s = float(unit.time_s_N.min()), float(unit.time_s_N.max())
    step_s = usual_step_s(np.sort(unit.time_s_N))
    builder = EnvelopeBuilder(first_s, last_s, OVERVIEW_BINS, 1, step_s)
    # What has a score is in the order of time.
    score_N = unit.verdicts[DETECTOR].score_N[unit.is_scored_N].astype(np.float32)
    builder.add(unit.time_s_N[unit.is_scored_N], score_N[:, None])
    nothing_KC = np.empty((0, 0), dtype=np.float32)
    no_sensors = Envelope(np.empty(0), nothing_KC, nothing_KC)
    curves = Curves(first_s, last_s, builder.envelope(), no_sensors, no_sensors)
    events = [_bar(unit, begin, end, "event") for begin, end in runs(unit.label_N).tolist()]
    incidents = [
        _bar(
            unit, begin, end, "incident" if unit.label_N[begin : end + 1].any() else "false"
        )
        for begin, end in runs(unit.verdicts[DETECTOR].is_alert_N).tolist()
    ]
    return timeline(curves, events, incidents)


def _bar(unit: UnitRows, begin: int, end: int, colour: str) -> Bar:
    time_s = unit.time_s_N[begin : end + 1]
    return Bar(float(time_s.min()), float(time_s.max()), colour)


def _left_out(n_units: int) -> list[str]:
    notes = []
    if n_units > MAX_PICTURES:
        notes.append(
            f"Pictures are of {MAX_PICTURES} of {n_units:,} units: those with the most "
            "events. The figures are of all."
        )
    if n_units > MAX_UNIT_ROWS:
        notes.append(f"The first {MAX_UNIT_ROWS} of {n_units:,} units are listed.")
    return notes
