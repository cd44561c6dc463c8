"""Labelled recordings as they lie on disk: one `.npz` a file."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.records import BoolArray, FloatArray
from trainer.history import History

SETS = ("skab_dev", "tsb_msl", "asd", "smd", "tep")


class Recording(NamedTuple):
    """Rows to learn from, and labelled rows to be measured on."""

    name: str
    train_NF: FloatArray
    test_NF: FloatArray
    label_N: BoolArray
    step_s: float

    def history(self) -> History:
        """The rows to learn from, as one unit's history. No row of it is labelled."""
        n_rows, n_sensors = self.train_NF.shape
        return History(
            sensors=tuple(f"sensor_{i}" for i in range(n_sensors)),
            units=("unit",),
            time_s_N=np.arange(n_rows, dtype=np.float64) * self.step_s,
            values_NF=self.train_NF,
            label_N=np.zeros(n_rows, dtype=np.bool_),
            begin_U=np.array([0, n_rows]),
            notes=[],
        )

    def columns(self, sensors: tuple[str, ...]) -> FloatArray:
        """The test rows of these sensors of `history()`."""
        index = [int(sensor.removeprefix("sensor_")) for sensor in sensors]
        return np.ascontiguousarray(self.test_NF[:, index])


def read_set(folder: Path) -> list[Recording]:
    """Every recording of a set, by name."""
    paths = sorted(folder.glob("*.npz"))
    if not paths:
        raise SystemExit(f"{folder}: expected .npz files, found none")
    return [_read(path) for path in paths]


def _read(path: Path) -> Recording:
    content = np.load(path, allow_pickle=False)
    return Recording(
        name=path.stem,
        train_NF=content["train"].astype(np.float32),
        test_NF=content["test"].astype(np.float32),
        label_N=content["label"].astype(np.bool_),
        step_s=float(content["dt"]),
    )
