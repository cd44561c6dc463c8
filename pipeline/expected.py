"""What the networks expected of each reading, as readings themselves: virtual sensors."""

from collections.abc import Iterator

import msgspec
import numpy as np
import numpy.typing as npt

from pipeline.records import BoolArray, FloatArray, Message, Readings, TimeArray
from pipeline.turn import Stretch, Turn

N_DIGITS = 7
"""Significant ones, what a float32 holds."""


class ExpectedEncoder:
    """Turns what was expected of readings into records that read like readings."""

    def __init__(self, topic: str, sensors: tuple[str, ...]) -> None:
        """Prepare to encode.

        Args:
            topic: where they are to go; empty: nothing is to be published.
            sensors: the detector's.
        """
        self._topic = topic
        self._sensors = sensors
        self._json = msgspec.json.Encoder()

    def encode(self, turn: Turn) -> list[Message]:
        """One message for each scored reading of the turn, keyed by unit and in order.

        Each is a reading of the same unit and time, whose values are the newest row as the
        networks reconstruct it, see `Scores.expected_BF`. A sensor that was missing has a
        value too. Of partitions that were taken away there is none, see `Turn.without`.
        """
        if not self._topic:
            return []
        is_ours_P = np.array(
            [p in turn.records.next_offsets for p in turn.readings.partitions],
            dtype=np.bool_,
        )
        return [
            message
            for stretch in turn.stretches
            for message in self._of_stretch(turn.readings, stretch, is_ours_P)
        ]

    def _of_stretch(
        self, readings: Readings, stretch: Stretch, is_ours_P: BoolArray
    ) -> Iterator[Message]:
        reading_B = stretch.windows.reading_B
        ours = np.flatnonzero(is_ours_P[readings.partition_N[reading_B]])
        reading_K = reading_B[ours]
        for reading, time, values in zip(
            reading_K.tolist(),
            iso_times(readings.time_s_N[reading_K]),
            rounded(stretch.scores.expected_BF[ours]).tolist(),
            strict=True,
        ):
            unit = readings.units[reading]
            yield Message(
                topic=self._topic,
                key=unit.encode(),
                value=self._json.encode(
                    {
                        "unit": unit,
                        "time": time,
                        "values": dict(zip(self._sensors, values, strict=True)),
                    }
                ),
                source=readings.partitions[readings.partition_N[reading]],
            )


def iso_times(time_s_B: TimeArray) -> list[str]:
    """Each as `iso_time` writes it, in a fifth of the time."""
    time_us_B = np.round(time_s_B * 1e6).astype("datetime64[us]")
    texts = np.datetime_as_string(time_us_B, unit="us").tolist()
    return [text.removesuffix(".000000") + "Z" for text in texts]


def rounded(values_BF: FloatArray) -> npt.NDArray[np.float64]:
    """To `N_DIGITS` digits, so that they are written without a float32's tail."""
    values = values_BF.astype(np.float64)
    with np.errstate(divide="ignore"):
        exponent = np.floor(np.log10(np.abs(values)))
    # Of a zero it is -inf.
    n_decimals = N_DIGITS - 1 - np.where(np.isfinite(exponent), exponent, 0.0)
    # By whole powers of ten, which are exact: only then the shortest text is the short one.
    up, down = 10.0 ** np.maximum(n_decimals, 0.0), 10.0 ** np.maximum(-n_decimals, 0.0)
    return np.asarray(np.round(values * up / down) / up * down)
