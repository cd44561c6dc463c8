"""A search as one HTML page."""

from collections.abc import Sequence

from pipeline.pages.template import style_sheet
from trainer.history import shortened
from trainer.page_template import FAMILY_WORDS, page_template
from trainer.train import ENSEMBLE
from trainer.tuning.picture import history_picture, setting_picture
from trainer.tuning.rows import TrialRow, ranked
from trainer.tuning.show import criterion_text, state_text, time_text
from trainer.tuning.space import SEARCHED
from trainer.tuning.summary import NAMES, Summary

WORDS = {ENSEMBLE: "variational and denoising autoencoders together", **FAMILY_WORDS}
MAX_ROWS = 500
MAX_PARTS = 20


def render(summary: Summary, rows: Sequence[TrialRow], best: TrialRow) -> str:
    """The page. Whatever comes from files is escaped by the template.

    Args:
        summary: what was searched.
        rows: the trials.
        best: of them.
    """
    default = next(
        (row for row in rows if row.choice == summary.space.default and row.value), None
    )
    default_value = summary.default_value(rows)
    searched = [name for name in SEARCHED if name in summary.space.searched]
    shown = [row for row in ranked(rows) if row.state != "stopped"]
    return page_template("tuning/page.html.j2", step_s=1.0).render(
        style=style_sheet(),
        summary=summary,
        best=best,
        command=summary.command(best),
        words=WORDS,
        gain=None if default_value is None else (best.value or 0.0) - default_value,
        default_value=default_value,
        history_svg=history_picture(rows, default_value),
        pictures=[
            {"name": NAMES[name], "svg": setting_picture(rows, name)} for name in searched
        ],
        parts=[
            (name, value, None if default is None else default.parts.get(name))
            for name, value in list(best.parts.items())[:MAX_PARTS]
        ],
        headings=[NAMES[name] for name in SEARCHED],
        trials=[
            {
                "number": row.number,
                "cells": list(row.choice.text_by_name().values()),
                "criterion": criterion_text(row),
                "state": state_text(row),
                "time": time_text(row.seconds),
                "is_best": row is best or row.number == best.number,
                "is_default": row.choice == summary.space.default,
            }
            for row in shown[:MAX_ROWS]
        ],
        n_pruned=sum(row.state == "pruned" for row in rows),
        n_complete=sum(row.state == "complete" for row in rows),
        n_failed=sum(row.state == "failed" for row in rows),
        n_hidden=max(len(shown) - MAX_ROWS, 0),
        notes=shortened(summary.notes),
    )
