"""One recording: train, score its test rows as the worker would, and measure."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch

from pipeline.detector.artifact import LoadedDetector
from pipeline.records import BoolArray, FloatArray
from pipeline.score import Scorer
from pipeline.trigger import IncidentRule, UnitState, transitions
from pipeline.window import cut_windows
from tests.bench.quality.sets import Recording
from trainer.detections import Tally
from trainer.ranking import average_precision, vus_pr, vus_window
from trainer.settings import TrainerSettings
from trainer.train import train

TEP_UNFINDABLE = ("d03", "d09", "d15")
"""Faults of the Tennessee Eastman process that no method of the literature finds."""


@dataclass(frozen=True, slots=True)
class FileResult:
    """What a detector was on one recording, with one seed."""

    name: str
    vus_pr: float
    average_precision: float
    detection: float
    """Share of the labelled readings within an incident."""
    false_alarm_share: float
    """Share of the readings without label within an incident."""
    promised_per_day: float
    fit_s: float
    rows_per_s: float
    label_N: BoolArray
    is_open_N: BoolArray
    step_s: float

    def as_dict(self) -> dict[str, object]:
        """For JSON: the figures alone."""
        arrays = ("label_N", "is_open_N")
        return {key: value for key, value in asdict(self).items() if key not in arrays}


class SetResult(NamedTuple):
    """A set's figures, one value a seed."""

    name: str
    figures: dict[str, list[float]]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return {"set": self.name, **self.figures}


def measure(
    recordings: Sequence[Recording], model: str, settings: TrainerSettings
) -> list[FileResult]:
    """Train on each recording and measure on its test rows.

    Recordings with the same rows to learn from share a detector.
    """
    detectors: dict[bytes, tuple[LoadedDetector, float]] = {}
    results = []
    for recording in recordings:
        key = recording.train_NF.tobytes()
        if key not in detectors:
            detectors[key] = _trained(recording, model, settings)
        results.append(measured(recording, *detectors[key]))
    return results


def summary(name: str, by_seed: Sequence[Sequence[FileResult]]) -> SetResult:
    """The figures that the set is compared by, one value a seed."""
    figures: dict[str, list[float]] = {}
    for results in by_seed:
        for key, value in _figures(name, results):
            figures.setdefault(key, []).append(value)
    return SetResult(name, figures)


def _figures(name: str, results: Sequence[FileResult]) -> Iterator[tuple[str, float]]:
    if name == "tep":
        findable = [r for r in results if r.label_N.any() and r.name not in TEP_UNFINDABLE]
        yield "detection", float(np.mean([r.detection for r in findable]))
    else:
        tally = Tally()
        for r in results:
            tally.add(
                r.label_N,
                r.is_open_N,
                np.arange(len(r.label_N), dtype=np.float64) * r.step_s,
            )
        rates = tally.rates()
        yield "VUS-PR", float(np.nanmean([r.vus_pr for r in results]))
        yield "average precision", float(np.nanmean([r.average_precision for r in results]))
        yield "F1", rates.f1
        yield "MAR %", rates.mar
        yield "event F1", rates.event_f1
        yield "event recall", rates.event_recall
        yield "false alarms/day", rates.false_alarms_per_day
        yield "promised/day", float(np.mean([r.promised_per_day for r in results]))
    n_normal = [(~r.label_N).sum() for r in results]
    shares = [r.false_alarm_share for r in results]
    yield "FAR %", 100.0 * float(np.average(shares, weights=n_normal))
    yield "fit s", float(np.mean([r.fit_s for r in results]))
    yield "rows/s", float(np.mean([r.rows_per_s for r in results]))


def _trained(
    recording: Recording, model: str, settings: TrainerSettings
) -> tuple[LoadedDetector, float]:
    began_s = time.perf_counter()
    with TemporaryDirectory() as folder:
        out = Path(folder) / "detector"
        trained = train(recording.history(), model, settings, out, lambda done, loss: None)
    return trained.loaded, time.perf_counter() - began_s


def measured(recording: Recording, loaded: LoadedDetector, fit_s: float) -> FileResult:
    began_s = time.perf_counter()
    score_N = score_rows(recording, loaded)
    rows_per_s = len(score_N) / (time.perf_counter() - began_s)
    incident = loaded.manifest.incident
    is_open_N = open_readings(score_N, IncidentRule(*incident.trigger, incident.recovery))
    label_N = recording.label_N
    window = vus_window(recording.test_NF[:, 0])
    is_labelled = bool(label_N.any())
    return FileResult(
        name=recording.name,
        vus_pr=vus_pr(label_N, score_N, window) if is_labelled else float("nan"),
        average_precision=average_precision(label_N, score_N),
        detection=float(is_open_N[label_N].mean()) if is_labelled else float("nan"),
        false_alarm_share=float(is_open_N[~label_N].mean()) if (~label_N).any() else 0.0,
        promised_per_day=loaded.manifest.threshold.expected_false_alarms_per_unit_day,
        fit_s=fit_s,
        rows_per_s=rows_per_s,
        label_N=label_N,
        is_open_N=is_open_N,
        step_s=recording.step_s,
    )


def score_rows(recording: Recording, loaded: LoadedDetector) -> np.ndarray:
    """Each row's score; 0 until the first window is full."""
    detector = loaded.detector
    windows = cut_windows(recording.columns(detector.sensors), detector.window)
    scorer = Scorer(detector, torch.device("cpu"))
    scores = scorer.score(windows, np.zeros(len(windows), dtype=np.int64), [recording.name])
    first = np.zeros(detector.window - 1)
    return np.concatenate([first, scores.score_B.astype(np.float64)])


def open_readings(score_N: FloatArray, rule: IncidentRule) -> BoolArray:
    """Which readings are within an incident, by the worker's own rule."""
    is_open_N = np.zeros(len(score_N), dtype=np.bool_)
    opened = None
    for index, opens in transitions(score_N, rule, UnitState()):
        if opens:
            opened = index
        else:
            is_open_N[opened:index] = True
            opened = None
    if opened is not None:
        is_open_N[opened:] = True
    return is_open_N
