"""Events to alert records, and back: the contract with every program that listens.

The same contract as a JSON Schema is `pipeline/alert.schema.json`.
"""

import hashlib
import math
from typing import Literal

import msgspec
import numpy as np

from pipeline.errors import InputError
from pipeline.incident import CRITICAL_SCORE, Event, State
from pipeline.records import FloatArray, Message
from pipeline.times import iso_time

SCHEMA: Literal["alert/1"] = "alert/1"


class SensorPart(msgspec.Struct, frozen=True):
    """What one sensor has to do with an incident."""

    name: str
    contribution: float
    """Its share of the error, 0 to 1."""
    observed: float | None
    """In the sensor's own unit; None where the reading had no value."""
    expected: float
    """What the detector expected instead, in the sensor's own unit."""


class DetectorPart(msgspec.Struct, frozen=True):
    """Which detector said so. Of an incident that was open when the detector was replaced
    that is the new one; its id stays that of the one that opened it."""

    name: str
    digest: str


class SourcePart(msgspec.Struct, frozen=True):
    """Where the window's readings stand in Kafka."""

    topic: str
    partition: int
    first_offset: int
    last_offset: int


class Alert(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change of one incident. The same readings and detector give the same alert."""

    schema: Literal["alert/1"]
    incident_id: str
    state: State
    unit: str
    opened_at: str
    time: str
    """Of the reading that caused this record. ISO 8601, UTC."""
    closed_at: str | None
    score: float
    """1.0 is the threshold."""
    peak_score: float
    severity: Literal["warning", "critical"]
    sensors: list[SensorPart]
    """At the peak so far, the largest contribution first."""
    detector: DetectorPart
    source: SourcePart
    embedding: list[float] | None = None
    """The latent vector of the window with the peak so far, if it is asked for. Those of
    one detector compare."""


class AlertEncoder:
    """Turns events into records of the alert topic, for one detector."""

    def __init__(
        self,
        topic: str,
        sensors: tuple[str, ...],
        detector: DetectorPart,
        max_sensors: int,
    ) -> None:
        self._topic = topic
        self._sensors = sensors
        self._detector = detector
        self._max_sensors = max_sensors
        self._json = msgspec.json.Encoder()

    @property
    def digest(self) -> str:
        """The detector's."""
        return self._detector.digest

    def encode(self, events: list[Event]) -> list[Message]:
        """One message per event, keyed by unit so that a unit's alerts stay in order."""
        return [
            Message(
                topic=self._topic,
                key=event.unit.encode(),
                value=self._json.encode(self._alert(event)),
                source=event.partition,
            )
            for event in events
        ]

    def _alert(self, event: Event) -> Alert:
        return Alert(
            schema=SCHEMA,
            incident_id=incident_id(
                event.opened_by or self._detector.digest, event.unit, event.opened_at_s
            ),
            state=event.state,
            unit=event.unit,
            opened_at=iso_time(event.opened_at_s),
            time=iso_time(event.time_s),
            closed_at=iso_time(event.time_s) if event.state == "closed" else None,
            score=_rounded(event.score),
            peak_score=_rounded(event.peak_score),
            severity="critical" if event.peak_score >= CRITICAL_SCORE else "warning",
            sensors=self._explained(event),
            detector=self._detector,
            source=SourcePart(
                topic=event.partition.topic,
                partition=event.partition.number,
                first_offset=event.first_offset,
                last_offset=event.last_offset,
            ),
            embedding=_embedding(event.explanation.latent_L),
        )

    def _explained(self, event: Event) -> list[SensorPart]:
        why = event.explanation
        largest = np.argsort(-why.contribution_F, kind="stable")[: self._max_sensors]
        return [
            SensorPart(
                name=self._sensors[f],
                contribution=_rounded(float(why.contribution_F[f])),
                observed=(
                    None
                    if math.isnan(why.observed_F[f])
                    else _rounded(float(why.observed_F[f]))
                ),
                expected=_rounded(float(why.expected_F[f])),
            )
            for f in largest.tolist()
        ]


def decode(value: bytes) -> Alert:
    """Read one record of the alert topic.

    Raises:
        InputError: not an alert of this version.
    """
    try:
        return msgspec.json.decode(value, type=Alert)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise InputError(f"expected a record of {SCHEMA!r}: {error}") from error


def incident_id(detector_digest: str, unit: str, opened_at_s: float) -> str:
    """32 hex digits that name one incident of one detector, now and in any replay."""
    name = f"{detector_digest}\n{iso_time(opened_at_s)}\n{unit}"
    return hashlib.sha256(name.encode()).hexdigest()[:32]


def _embedding(latent_L: FloatArray) -> list[float] | None:
    # Four significant digits: what 16 bits hold.
    return [float(f"{x:.4g}") for x in latent_L.tolist()] or None


def _rounded(value: float) -> float:
    """Six significant digits: what a float32 holds, without its tail."""
    return float(f"{value:.6g}")
