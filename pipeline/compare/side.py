"""One of the two detectors, over the same records as the other."""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from pipeline.alert import decode
from pipeline.alert_log import AlertLog, Incident
from pipeline.compare.feed import Caught, Feed
from pipeline.compare.labelled_time import LabelledTime
from pipeline.detector.artifact import LoadedDetector
from pipeline.drift.watched import Watched
from pipeline.errors import InputError
from pipeline.events import Span
from pipeline.offline import ALERTS, offline_worker
from pipeline.records import FloatArray, IntArray, Records, TimeArray, group_starts
from pipeline.score import Scorer
from pipeline.settings import ReplaySettings
from pipeline.steps import build_steps, calibrated_rule, n_readings_needed
from pipeline.turn import Turn

MAX_SENSORS = 5
"""Sensors that explain an incident, as the worker names by default."""
MAX_INCIDENTS = 100_000
"""All are kept. So many say enough of a detector."""


class Scored(NamedTuple):
    """What came of one turn: S readings that have a score."""

    number_S: IntArray
    """Which reading of the turn's records it is: the same with either detector."""
    row_S: IntArray
    """Of its unit, see `units`."""
    time_s_S: TimeArray
    score_S: FloatArray
    units: Sequence[str]
    """The unit of each row."""


class Side:
    """Owns one detector's worker, and what came of the records that it was given."""

    def __init__(
        self, name: str, loaded: LoadedDetector, scorer: Scorer, settings: ReplaySettings
    ) -> None:
        """Begin with nothing remembered.

        Args:
            name: what the user calls it.
            loaded: the detector.
            scorer: the same detector's, on its device. What it remembers is forgotten.
            settings: as the worker has them.
        """
        self.name = name
        self.loaded = loaded
        scorer.forget_all()
        rule = settings.incident.rule(calibrated_rule(loaded))
        self._feed, self._caught = Feed(), Caught()
        self._steps = build_steps(
            loaded,
            scorer,
            rule,
            settings.decode,
            max_units=settings.max_units,
            unit_idle_s=settings.unit_idle_s,
            alerts_topic=ALERTS,
            max_sensors=MAX_SENSORS,
        )
        self._worker = offline_worker(self._steps, lambda _: self._feed, self._caught)
        self._log = AlertLog(loaded.digest)
        self._watched = Watched()
        self._labelled_time = LabelledTime(())
        self._is_counting = False
        self.n_needed = n_readings_needed(scorer, loaded.detector.window, rule)
        """Of a unit's last readings: what is remembered of it is a function of so many."""
        self.n_readings = 0
        self.n_scored = 0
        self.n_rejected = 0
        """Records, whole."""
        self.largest_score = 0.0
        self.first_s, self.last_s = math.inf, -math.inf
        """Of the readings."""
        self.watched_s = 0.0
        """Summed over units, without gaps."""
        self.labelled_s = 0.0
        """Of that, within labelled events."""

    def begin(self, events: Sequence[Span]) -> None:
        """What comes from now on counts; what came before was to fill windows alone.

        Of the incidents until now those that are still open stay.

        Args:
            events: labelled ones, of a unit in the order of time, and apart.
        """
        self._is_counting = True
        self._labelled_time = LabelledTime(events)
        self._log.forget_closed()

    def take(self, records: Records) -> Iterator[Scored]:
        """Put records through the steps; what came of them, turn by turn.

        Raises:
            InputError: there are more than `MAX_INCIDENTS` incidents.
        """
        self._feed.put(records)
        while (turn := self._worker.run_once()) is not None:
            self._keep_alerts()
            scored = self._scored(turn)
            self._watch(turn)
            if self._is_counting:
                self._count(turn, scored)
            yield scored

    def incidents(self) -> list[Incident]:
        """In the order they opened."""
        return self._log.incidents()

    @property
    def read(self) -> dict[str, Span]:
        """Of each unit with labelled events that was read: first reading to last."""
        return self._labelled_time.read

    @property
    def n_units(self) -> int:
        """Units seen."""
        return len(self._steps.units)

    def _keep_alerts(self) -> None:
        for message in self._caught.take():
            if message.topic == ALERTS:
                self._log.add(decode(message.value or b""))
        if len(self._log) > MAX_INCIDENTS:
            raise InputError(
                f"{self.name}: more than {MAX_INCIDENTS:,} incidents; its threshold is not "
                "one for these readings. Compare over a shorter range"
            )

    def _watch(self, turn: Turn) -> None:
        for stretch in turn.stretches:
            arrived = stretch.windows.arrived
            # How often a unit sends is learned while windows are filled, too.
            watched_s_N = self._watched.extend_each(arrived)
            if not self._is_counting:
                continue
            self.watched_s += float(watched_s_N.sum())
            self.labelled_s += self._labelled_time.add(
                arrived,
                turn.readings.time_s_N[arrived.reading_N],
                watched_s_N,
                self._steps.units.names,
            )

    def _scored(self, turn: Turn) -> Scored:
        readings = turn.readings
        # A record is taken whole or not at all, so that a reading's place in it is the
        # same with any detector.
        start_G = group_starts(readings.record_N)
        n_G = np.diff(start_G, append=len(readings))
        place_N = np.arange(len(readings)) - np.repeat(start_G, n_G)
        number_N = (readings.record_N << 32) + place_N
        stretches = turn.stretches
        reading_S = np.concatenate([each.windows.reading_B for each in stretches])
        return Scored(
            number_N[reading_S],
            np.concatenate([each.windows.row_B for each in stretches]),
            readings.time_s_N[reading_S],
            np.concatenate([each.scores.score_B for each in stretches]),
            self._steps.units.names,
        )

    def _count(self, turn: Turn, scored: Scored) -> None:
        self.n_readings += len(turn.readings)
        self.n_scored += len(scored.score_S)
        self.n_rejected += len(turn.rejects)
        self.largest_score = max(self.largest_score, float(scored.score_S.max(initial=0.0)))
        time_s_N = turn.readings.time_s_N
        self.first_s = min(self.first_s, float(time_s_N.min(initial=math.inf)))
        self.last_s = max(self.last_s, float(time_s_N.max(initial=-math.inf)))
