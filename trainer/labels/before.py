"""The detector that a new one is held against before it is written."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from pipeline.detector.artifact import load
from pipeline.errors import DetectorError
from pipeline.steps import calibrated_rule
from trainer.history import History
from trainer.labels.preview import Judge

Fit = Callable[[History, Path], Judge]
"""Trains a detector and writes its folder."""


class Before(NamedTuple):
    """What was there before labels were learned from."""

    name: str
    judge: Judge


def detector_before(out: Path, history: History, fit: Fit) -> Before:
    """The detector in `out`, if it scores the same sensors; else one that knows no labels.

    Args:
        out: where the new detector is to be written.
        history: with labels.
        fit: trains the other, on the same history.
    """
    there = _there(out, history)
    if there is not None:
        return Before(f"the detector in {out}", there)
    unlabelled = replace(history, anomalous_N=None, silenced_N=None)
    with TemporaryDirectory() as folder:
        judge = fit(unlabelled, Path(folder) / "without-labels")
    return Before("a detector that knows no labels", judge)


def _there(out: Path, history: History) -> Judge | None:
    try:
        loaded = load(out)
    except DetectorError:
        return None
    if not set(loaded.detector.sensors) <= set(history.sensors):
        return None
    return Judge(loaded.detector, calibrated_rule(loaded))
