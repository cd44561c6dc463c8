"""`python -m tests.bench.uses.labels DATA`: what a few labels add to a detector.

All machines of a set are units of one history. Of their test rows some labelled faults,
drawn at random until they are a given share of all labelled readings, are put behind it,
the last of them only in part. Both detectors are measured on the test rows without these
faults: on others alone, of whatever kind. Both learn from the same unlabelled readings.
"""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from pipeline.detector.artifact import LoadedDetector
from pipeline.records import BoolArray, FloatArray
from pipeline.score import Scorer
from pipeline.window import cut_windows
from tests.bench.quality.sets import Recording, read_set
from trainer.history import History
from trainer.labels.events import MEMORY
from trainer.ranking import average_precision, runs
from trainer.settings import TrainerSettings
from trainer.train import ENSEMBLE, train

SHARES = (0.01, 0.05, 0.10)
SHARED_NORMAL = "tep"
"""Its files are runs of one plant, with the same normal rows."""


class Piece(NamedTuple):
    """Readings [begin, end) of a fault that are labelled; the fault ends at `fault_end`."""

    recording: int
    begin: int
    end: int
    fault_end: int


def main(
    data: Annotated[Path, typer.Argument(help="Folder with one folder of .npz a set.")],
    sets: Annotated[str, typer.Option()] = "skab_dev,tep,asd",
    seeds: Annotated[int, typer.Option()] = 5,
    model: Annotated[str, typer.Option(help="As of `trainer fit`.")] = ENSEMBLE,
) -> None:
    """Print average precision on held-out faults, without labels and with a few."""
    torch.set_num_threads(1)
    print("set       labels  faults  without            with               difference")
    for name in sets.split(","):
        recordings = read_set(data / name)
        is_one = name == SHARED_NORMAL
        rows: dict[float, list[tuple[float, float, int]]] = {share: [] for share in SHARES}
        for seed in range(seeds):
            settings = TrainerSettings(seed=seed)
            plain = _scores(recordings, [], is_one, model, settings)
            for share in SHARES:
                pieces = drawn(recordings, share, seed)
                informed = _scores(recordings, pieces, is_one, model, settings)
                before, after = (
                    held_out_precision(recordings, pieces, s) for s in (plain, informed)
                )
                rows[share].append((before, after, len(pieces)))
                print(
                    f"  {name} {share:.0%} seed {seed}: {before:.3f} {after:.3f}",
                    flush=True,
                )
        for share, of_seeds in rows.items():
            before_S, after_S, n_S = np.array(of_seeds).T
            print(
                f"{name:9} {share:6.0%} {n_S.mean():7.1f}  {_spread(before_S)}  "
                f"{_spread(after_S)}  {_spread(after_S - before_S, '+')}",
                flush=True,
            )


def drawn(recordings: Sequence[Recording], share: float, seed: int) -> list[Piece]:
    """Faults at random, until they hold this share of all labelled readings."""
    faults = [
        (number, begin, end + 1)
        for number, recording in enumerate(recordings)
        for begin, end in runs(recording.label_N).tolist()
    ]
    left = int(share * sum(end - begin for _, begin, end in faults))
    pieces = []
    for index in np.random.default_rng(seed).permutation(len(faults)).tolist():
        number, begin, end = faults[index]
        n = min(end - begin, left)
        if n > 0:
            pieces.append(Piece(number, begin, begin + n, end))
        left -= n
    return pieces


def history_with(
    recordings: Sequence[Recording], pieces: Sequence[Piece], is_one: bool
) -> History:
    """The rows to learn from, and behind those of its unit each piece.

    The rows before a piece, which its first scores depend on, are not learned from: so
    that with labels and without all else is the same.
    """
    settings = TrainerSettings()
    n_context = settings.window - 1 + MEMORY
    units = recordings[:1] if is_one else recordings
    values, label, anomalous, joints, begins = [], [], [], [], [0]
    n = 0
    for number, recording in enumerate(units):
        values.append(recording.train_NF)
        label.append(np.zeros(len(recording.train_NF), dtype=np.bool_))
        anomalous.append(label[-1])
        n += len(recording.train_NF)
        for piece in pieces:
            if not is_one and piece.recording != number:
                continue
            begin = max(piece.begin - n_context, 0)
            joints.append(n)
            values.append(recordings[piece.recording].test_NF[begin : piece.end])
            label.append(np.ones(piece.end - begin, dtype=np.bool_))
            anomalous.append(np.arange(begin, piece.end) >= piece.begin)
            n += piece.end - begin
        begins.append(n)
    first = recordings[0].history()
    return History(
        sensors=first.sensors,
        units=tuple(recording.name for recording in units),
        time_s_N=np.concatenate(
            [recordings[0].step_s * np.arange(b - a) for a, b in pairwise(begins)]
        ),
        values_NF=np.concatenate(values),
        label_N=np.concatenate(label),
        begin_U=np.array(begins),
        notes=[],
        anomalous_N=np.concatenate(anomalous),
        joint_J=np.array(joints, dtype=np.int64),
    )


def held_out_precision(
    recordings: Sequence[Recording], pieces: Sequence[Piece], scores: Sequence[FloatArray]
) -> float:
    """Average precision over the rows of no labelled fault, the mean over recordings."""
    precisions = []
    for number, recording in enumerate(recordings):
        is_kept_N = np.ones(len(recording.label_N), dtype=np.bool_)
        for piece in pieces:
            if piece.recording == number:
                is_kept_N[piece.begin : piece.fault_end] = False
        score_N = scores[number].astype(np.float64)
        label_N: BoolArray = recording.label_N[is_kept_N]
        if label_N.any():
            precisions.append(average_precision(label_N, score_N[is_kept_N]))
    return float(np.mean(precisions))


def _scores(
    recordings: Sequence[Recording],
    pieces: Sequence[Piece],
    is_one: bool,
    model: str,
    settings: TrainerSettings,
) -> list[FloatArray]:
    history = history_with(recordings, pieces, is_one)
    with TemporaryDirectory() as folder:
        out = Path(folder) / "detector"
        loaded = train(history, model, settings, out, lambda done, loss: None).loaded
    unit_of = [
        recordings[0 if is_one else number].name for number in range(len(recordings))
    ]
    return [
        _score_rows(recording, loaded, unit)
        for recording, unit in zip(recordings, unit_of, strict=True)
    ]


def _score_rows(recording: Recording, loaded: LoadedDetector, unit: str) -> FloatArray:
    """Each row's score; 0 until the first window is full."""
    detector = loaded.detector
    windows = cut_windows(recording.columns(detector.sensors), detector.window)
    scorer = Scorer(detector, torch.device("cpu"))
    score_B = scorer.score(windows, np.zeros(len(windows), dtype=np.int64), [unit]).score_B
    return np.concatenate([np.zeros(detector.window - 1), score_B.astype(np.float64)])


def _spread(value_S: FloatArray, sign: str = "") -> str:
    low, high = value_S.min(), value_S.max()
    return f"{value_S.mean():{sign}.3f} {low:{sign}.3f} to {high:{sign}.3f}"


if __name__ == "__main__":
    typer.run(main)
