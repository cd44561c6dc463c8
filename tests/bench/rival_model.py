"""The detector as a user of another framework would call it: one network, one threshold.

It does less than the worker: no scores over several time scales, no incidents, no updates,
no dead letters. What is left out is in the other side's favour.
"""

from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt
import torch

from pipeline.detector.artifact import load
from pipeline.detector.residual import ResidualScoring
from pipeline.detector.residual_sums import huber

Array = npt.NDArray[np.float32]


class Reading(msgspec.Struct, gc=False):
    """One record."""

    unit: str
    time: float
    values: dict[str, float]


decoder = msgspec.json.Decoder(Reading)


class RivalModel:
    """Scores ready-made windows."""

    def __init__(self, folder: str) -> None:
        torch.set_num_threads(1)
        detector = load(Path(folder)).detector
        (self._network,) = detector.networks
        scoring = detector.scoring
        assert isinstance(scoring, ResidualScoring)
        self.window = detector.window
        self.sensors = detector.sensors
        self._scaler = detector.scaling.pooled
        self._trust_F = scoring.trust_F
        self._statistic = scoring.statistics[0]
        self._limit = self._statistic.limit * detector.threshold

    def row(self, reading: Reading) -> list[float]:
        """A reading's values in the order of the sensors."""
        return [reading.values[sensor] for sensor in self.sensors]

    def scores(self, windows: npt.ArrayLike) -> Array:
        """Of windows of raw readings, shape (B, T, F); 1.0 is the threshold."""
        raw_BTF = np.asarray(windows, dtype=np.float32)
        x_BTF = (raw_BTF - self._scaler.mean_F) / self._scaler.scale_F
        with torch.inference_mode():
            newest_BF = self._network.newest(torch.from_numpy(x_BTF))[0].numpy()
        residual_BF = x_BTF[:, -1] - self._trust_F * newest_BF
        loss_BF = huber(residual_BF / self._statistic.scale_F)
        return np.asarray(loss_BF.mean(axis=1) / self._limit)
