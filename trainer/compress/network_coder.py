"""Which of a detector's networks foretells values best, and what it makes of them."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from pipeline.detector.detector import Detector
from pipeline.detector.latent import Encoder
from pipeline.records import FloatArray, IntArray
from pipeline.window import Windows
from trainer.compress.coding import Series
from trainer.compress.columns import DraftColumn, FloatsArray, Quantiser, drafted_column
from trainer.compress.decoder import (
    LatentDecoder,
    coded_latents,
    decoder_part,
    latents_series,
    window_starts,
)
from trainer.compress.layout import DecoderPart

LATENT_STEPS = 16.0
"""Latent codes to a standard deviation of the latent vectors."""


class Drafts(NamedTuple):
    """A block's columns by a network."""

    latents: Series
    columns: dict[int, DraftColumn]
    """By position among the table's sensors."""

    def gain(self, plain: Sequence[DraftColumn]) -> int:
        """Bytes that it seems to save; negative where the latent codes cost more."""
        saved = [plain[f].n_bytes - c.n_bytes for f, c in self.columns.items()]
        return sum(n for n in saved if n > 0) - len(self.latents.content)


class NetworkCoder:
    """One network of a detector: its encoder, and the decoder that a file carries."""

    def __init__(
        self,
        detector: Detector,
        family: int,
        part: DecoderPart,
        units: Sequence[str],
        sensors: Sequence[str],
    ) -> None:
        """Take a network.

        Args:
            detector: on its device.
            family: the network's position among the detector's.
            part: of the same network.
            units: the table's.
            sensors: the table's; the detector's are among them.
        """
        self.part = part
        self._decoder = LatentDecoder(part, len(units), detector.device)
        self._latents = _LatentsOf(detector, family, units)
        position = {sensor: index for index, sensor in enumerate(sensors)}
        self._column_F = [position[sensor] for sensor in detector.sensors]

    def drafts(
        self,
        values_NF: FloatArray,
        unit_N: IntArray,
        quantisers: Sequence[Quantiser],
    ) -> Drafts | None:
        """A block's columns; None where no unit fills a window.

        Args:
            values_NF: of the table's sensors, rows of a unit together.
            unit_N: of each row.
            quantisers: of the table's sensors.
        """
        start_B = window_starts(unit_N, self._decoder.window)
        if not len(start_B):
            return None
        own_NF = np.ascontiguousarray(values_NF[:, self._column_F])
        latent_BL = self._latents(own_NF, unit_N, start_B)
        code_BL = coded_latents(latent_BL, self.part.latent_step)
        expected_NF: FloatsArray = self._decoder.expected(code_BL, start_B, unit_N)
        columns = {
            f: drafted_column(values_NF[:, f], quantisers[f], expected_N)
            for f, expected_N in zip(self._column_F, expected_NF.T, strict=True)
        }
        return Drafts(latents_series(code_BL), columns)


def best_network(
    detector: Detector,
    units: Sequence[str],
    quantisers: dict[str, Quantiser],
    values_NF: FloatArray,
    unit_N: IntArray,
    plain: Sequence[DraftColumn],
) -> NetworkCoder | None:
    """Of the first members of the detector's families that which saves most.

    Args:
        detector: on its device.
        units: the table's.
        quantisers: of the table's sensors, by name.
        values_NF: a block to try them on, rows of a unit together.
        unit_N: of each row.
        plain: the block's columns without a network.

    Returns:
        None where no unit fills a window, or 16 bits do not hold a network.
    """
    sensors = list(quantisers)
    start_B = window_starts(unit_N, detector.window)
    if not len(start_B):
        return None
    own_NF = values_NF[:, [sensors.index(sensor) for sensor in detector.sensors]]
    coders: list[tuple[int, NetworkCoder]] = []
    for family in range(len(detector.networks)):
        latent_BL = _LatentsOf(detector, family, units)(
            np.ascontiguousarray(own_NF), unit_N, start_B
        )
        step = float(latent_BL.std()) / LATENT_STEPS or 1.0
        part = decoder_part(detector, family, units, step)
        if part is None:
            continue
        coder = NetworkCoder(detector, family, part, units, sensors)
        drafts = coder.drafts(values_NF, unit_N, list(quantisers.values()))
        if drafts is not None:
            coders.append((drafts.gain(plain), coder))
    return max(coders, key=lambda c: c[0])[1] if coders else None


class _LatentsOf:
    """The latent vectors of windows by one network."""

    def __init__(self, detector: Detector, family: int, units: Sequence[str]) -> None:
        self._encoder = Encoder(detector, family)
        self._window = detector.window
        scaling = detector.scaling
        self._line_U = (
            np.array([scaling.line(unit) for unit in units], dtype=np.int64)
            if scaling.units
            else None
        )

    def __call__(
        self, values_NF: FloatArray, unit_N: IntArray, start_B: IntArray
    ) -> FloatArray:
        windows = Windows(values_NF, start_B, self._window)
        line_B = None if self._line_U is None else self._line_U[unit_N[start_B]]
        return self._encoder.latents(windows, line_B).mean_BL
