"""The steps that one poll's readings go through, built for one detector."""

from collections.abc import Collection
from dataclasses import dataclass

from pipeline.alert import AlertEncoder, DetectorPart
from pipeline.decode import Decoder
from pipeline.detector.artifact import LoadedDetector
from pipeline.expected import ExpectedEncoder
from pipeline.incident import IncidentTracker, OpenIncident
from pipeline.note_codec import NoteCodec
from pipeline.reach import Reach
from pipeline.records import IntArray, Partition
from pipeline.score import Scorer
from pipeline.settings import DecodeSettings
from pipeline.trigger import IncidentRule
from pipeline.units import Units
from pipeline.window import SlidingWindows


@dataclass(frozen=True, slots=True)
class Steps:
    """What a poll's readings go through, in this order."""

    loaded: LoadedDetector
    decoder: Decoder
    units: Units
    windows: SlidingWindows
    reach: Reach
    scorer: Scorer
    incidents: IncidentTracker
    alerts: AlertEncoder
    expected: ExpectedEncoder
    codec: NoteCodec

    def restore(self, partition: Partition, unit: str, incident: OpenIncident) -> None:
        """Go on with an incident that is open in this unit."""
        row = self.units.row(partition, unit)
        self.incidents.restore(row, incident, self.units.n_rows)

    def start_anew(self, rows: IntArray) -> None:
        """Forget what is remembered of these beside their windows and open incidents."""
        self.reach.forget(rows)
        self.forget_scores(rows)

    def forget_scores(self, rows: IntArray) -> None:
        """Forget the last scores of these, and what they are made of beside windows."""
        self.scorer.forget(rows)
        self.incidents.forget_scores(rows)

    def forget(self, partitions: Collection[Partition]) -> None:
        """Clear all that is remembered of these partitions' units."""
        rows = self.units.forget(partitions)
        self.windows.forget(rows)
        self.start_anew(rows)
        self.incidents.forget(rows)


def build_steps(
    loaded: LoadedDetector,
    scorer: Scorer,
    rule: IncidentRule,
    decode_settings: DecodeSettings,
    max_units: int,
    unit_idle_s: float,
    alerts_topic: str,
    max_sensors: int,
    expected_topic: str = "",
    max_note_bytes: int = 0,
) -> Steps:
    """The steps of one detector, for live readings and for a file alike."""
    detector, manifest = loaded.detector, loaded.manifest
    n_needed = n_readings_needed(scorer, detector.window, rule)
    return Steps(
        loaded=loaded,
        decoder=Decoder(
            detector.sensors,
            max_record_bytes=decode_settings.max_record_bytes,
            max_ahead_s=decode_settings.max_ahead_s,
        ),
        units=Units(max_units),
        windows=SlidingWindows(detector.window, len(detector.sensors), unit_idle_s),
        reach=Reach(n_needed),
        scorer=scorer,
        incidents=IncidentTracker(rule),
        alerts=AlertEncoder(
            alerts_topic,
            detector.sensors,
            DetectorPart(manifest.name, loaded.digest),
            max_sensors,
        ),
        expected=ExpectedEncoder(expected_topic, detector.sensors),
        codec=NoteCodec(
            loaded.digest,
            str(rule),
            detector.sensors,
            max_sensors,
            max_note_bytes,
            scorer.n_latent,
            n_needed,
        ),
    )


def n_readings_needed(scorer: Scorer, window: int, rule: IncidentRule) -> int:
    """Of a unit's last readings: what is remembered of it is a function of so many.

    The rule looks back over scores, these over residuals, and each of those over a window.
    """
    return max(rule.n_last, rule.n_recovery) + scorer.n_memory + window - 1


def calibrated_rule(loaded: LoadedDetector) -> IncidentRule:
    """The rule that the detector's threshold was calibrated with."""
    incident = loaded.manifest.incident
    return IncidentRule(*incident.trigger, incident.recovery)
