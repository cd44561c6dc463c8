"""Notes as text, as they stand beside committed offsets."""

import base64
import hashlib
import zlib
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace

import msgspec
import numpy as np

from pipeline.incident import OpenIncident
from pipeline.note import MARK_BYTES, NOTHING, LeftOut, Note, explained, mark

VERSION = 3
MAX_TEXT_BYTES = 64 * 2**10
MAX_UNPACKED_BYTES = 2**20
"""Of a note that is read: whoever may commit for the group may write one."""
_LEFT_OUT = np.dtype([("mark", "u1", MARK_BYTES), ("peak", "<f2")])
LARGEST_PEAK = float(np.finfo(np.float16).max)


class _Incident(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    unit: str
    opened_at_s: float
    peak_score: float
    told_score: float
    replay_from: int
    sensors: bytes
    """The largest contributions first: their places in the note's `sensors`, 2 bytes each,
    then a row of three float32 each. See `Explanation`."""
    latent: bytes = b""
    """Its latent vector, float16, where alerts hold it."""
    opener: int = 0
    """Which of the note's `openers`."""


class _Note(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    writer: bytes
    openers: list[str]
    """Digests of detectors: of the writer's, then of those before it."""
    next_offset: int
    replay_from: int
    n_readings: int
    scores_from: int
    sensors: list[str]
    """Those that incidents name."""
    incidents: list[_Incident]
    left_out: list[tuple[int, bytes]] | None
    """By opener, of each its mark and its peak as a float16."""


class NoteCodec:
    """Notes to ASCII text and back, for one detector."""

    def __init__(
        self,
        digest: str,
        rule: str,
        sensors: tuple[str, ...],
        max_sensors: int,
        max_bytes: int,
        n_latent: int = 0,
        n_readings: int = 1,
    ) -> None:
        """Args:
        digest: the detector's.
        rule: what else its incidents depend on, in words.
        sensors: the detector's.
        max_sensors: so many of them an alert names.
        max_bytes: longest text.
        n_latent: L, if alerts hold latent vectors; 0 if they do not.
        n_readings: of each unit, what is remembered is a function of so many.
        """
        self._digest = digest
        self._writer = hashlib.sha256(f"{digest} {rule} {max_sensors}".encode()).digest()[
            :8
        ]
        self._sensors = sensors
        self._column_of = {name: column for column, name in enumerate(sensors)}
        self._max_sensors = max_sensors
        self._max_bytes = max_bytes
        self._n_latent = n_latent
        self._n_readings = n_readings

    def encode(self, note: Note, floor: int) -> str:
        """As text, with as many incidents as there is room for.

        Those left out move `replay_from` back, to where their readings bring them about
        again, but not to before `floor`; so the oldest are kept. Empty if there is no room
        for anything.
        """
        incidents = sorted(note.incidents, key=lambda each: each[1].replay_from)
        for has_marks in (True, False):
            n_kept = len(incidents)
            while n_kept >= 0:
                left_out = incidents[n_kept:]
                begin = min([note.replay_from, *(each.replay_from for _, each in left_out)])
                named = {
                    mark(unit, each.opened_at_s): LeftOut(each.peak_score, each.opened_by)
                    for unit, each in left_out
                }
                text = self._text(
                    replace(
                        note,
                        incidents=incidents[:n_kept],
                        replay_from=max(floor, begin),
                        left_out=named if has_marks else None,
                    )
                )
                if len(text) <= self._max_bytes:
                    return text
                # About as many fewer as the text is too long, at least one.
                n_kept = min(n_kept - 1, n_kept * self._max_bytes // len(text))
        return ""

    def decode(self, text: str) -> Note | None:
        """The note in this text, None if it is none.

        Of another detector's, or one with another rule, incidents go on under their ids.
        Scores begin where that note stands: those before were never told. What is to be
        read again is to fill this detector's windows.
        """
        if not 0 < len(text) <= MAX_TEXT_BYTES:
            return None
        try:
            unpacker = zlib.decompressobj()
            packed = unpacker.decompress(base64.b85decode(text), MAX_UNPACKED_BYTES)
            found = msgspec.msgpack.decode(packed, type=_Note)
            if found.version != VERSION:
                return None
            incidents = [
                (each.unit, self._restored(each, found)) for each in found.incidents
            ]
            left_out = self._left_out(found)
        except (ValueError, OverflowError, OSError, zlib.error, msgspec.MsgspecError):
            return None
        if not 0 <= found.replay_from <= found.next_offset or found.n_readings < 1:
            return None
        if found.writer == self._writer:
            return Note(
                found.next_offset,
                found.replay_from,
                incidents,
                left_out,
                found.scores_from,
            )
        # By guess where it needs more: nothing says where that many begin.
        n_times = max(1, -(-self._n_readings // found.n_readings))
        n_back = n_times * (found.next_offset - found.replay_from)
        begin = max(0, found.next_offset - n_back)
        # What another detector opened is found by its mark, not brought about again.
        return Note(
            found.next_offset, begin, incidents, left_out or NOTHING, found.next_offset
        )

    def _text(self, note: Note) -> str:
        openers, place_of = {"": 0}, dict[int, int]()
        incidents = [
            self._packed(unit, incident, place_of, openers)
            for unit, incident in note.incidents
        ]
        left_out = None
        if note.left_out is not None:
            left_out = _packed_marks(note.left_out, openers)
        packed = msgspec.msgpack.encode(
            _Note(
                VERSION,
                self._writer,
                [self._digest, *list(openers)[1:]],
                note.next_offset,
                note.replay_from,
                self._n_readings,
                note.scores_from,
                [self._sensors[column] for column in place_of],
                incidents,
                left_out,
            )
        )
        return base64.b85encode(zlib.compress(packed)).decode("ascii")

    def _packed(
        self,
        unit: str,
        incident: OpenIncident,
        place_of: dict[int, int],
        openers: dict[str, int],
    ) -> _Incident:
        why = incident.explanation
        largest = np.argsort(-why.contribution_F, kind="stable")[: self._max_sensors]
        places = [place_of.setdefault(f, len(place_of)) for f in largest.tolist()]
        why_F3 = np.stack([why.contribution_F, why.observed_F, why.expected_F], axis=1)
        return _Incident(
            unit,
            incident.opened_at_s,
            incident.peak_score,
            incident.told_score,
            incident.replay_from,
            np.array(places, "<u2").tobytes() + why_F3[largest].astype("<f4").tobytes(),
            why.latent_L.astype("<f2").tobytes(),
            openers.setdefault(incident.opened_by, len(openers)),
        )

    def _restored(self, packed: _Incident, note: _Note) -> OpenIncident:
        is_own = note.writer == self._writer
        n_kept = len(packed.sensors) // 14
        place_K = np.frombuffer(packed.sensors, "<u2", n_kept)
        rows_K3 = np.frombuffer(packed.sensors, "<f4", offset=2 * n_kept).reshape(n_kept, 3)
        if (place_K >= len(note.sensors)).any():
            raise ValueError("more sensors than the note names")
        named = {
            note.sensors[place]: tuple(row)
            for place, row in zip(place_K.tolist(), rows_K3.tolist(), strict=True)
        }
        latent_L = np.frombuffer(packed.latent, "<f2").astype(np.float32)
        if len(latent_L) != self._n_latent or not is_own:
            # Of a worker that was told otherwise: this incident goes without.
            latent_L = np.empty(0, dtype=np.float32)
        return OpenIncident(
            opened_at_s=packed.opened_at_s,
            peak_score=packed.peak_score,
            told_score=packed.told_score,
            explanation=explained(named, self._column_of)._replace(latent_L=latent_L),
            replay_from=packed.replay_from,
            is_restored=True,
            opened_by=self._opener(note, packed.opener),
        )

    def _opener(self, note: _Note, number: int) -> str:
        if not 0 <= number < len(note.openers):
            raise ValueError("more openers than the note names")
        is_own = number == 0 and note.writer == self._writer
        return "" if is_own else note.openers[number]

    def _left_out(self, note: _Note) -> dict[bytes, LeftOut] | None:
        if note.left_out is None:
            return None
        found = {}
        for opener, packed in note.left_out:
            opened_by = self._opener(note, opener)
            for each in np.frombuffer(packed, _LEFT_OUT):
                found[each["mark"].tobytes()] = LeftOut(float(each["peak"]), opened_by)
        return found


def _packed_marks(
    left_out: Mapping[bytes, LeftOut], openers: dict[str, int]
) -> list[tuple[int, bytes]]:
    marks: defaultdict[int, list[tuple[tuple[int, ...], float]]] = defaultdict(list)
    for name, each in left_out.items():
        opener = openers.setdefault(each.opened_by, len(openers))
        marks[opener].append((tuple(name), min(each.peak_score, LARGEST_PEAK)))
    return [
        (opener, np.array(of_one, _LEFT_OUT).tobytes()) for opener, of_one in marks.items()
    ]
