"""The note that stands beside a committed offset: what whoever takes the partition over
must know to go on as if nothing had happened."""

import base64
import hashlib
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from pipeline.alert import incident_id
from pipeline.incident import Explanation, OpenIncident

VERSION = 3
MAX_TEXT_BYTES = 64 * 2**10
MARK_BYTES = 4
ID_BYTES = 16
MAX_UNPACKED_BYTES = 2**20
"""Of a note that is read: whoever may commit for the group may write one."""


Incident = tuple[str, OpenIncident]
"""The unit, and what is open there."""


@dataclass(frozen=True, slots=True)
class Note:
    """Of one partition, as of one committed offset."""

    next_offset: int
    """The one it stands beside."""
    replay_from: int
    """Where to begin reading, to know of each unit what the last owner knew."""
    incidents: Sequence[Incident]
    """Those that are open, with their units. Others that are open the readings from
    `replay_from` on bring about again."""
    reopened: frozenset[int] | None = frozenset()
    """The `mark` of each of the others; None if they are too many. What else is brought
    about is not open: it comes of reading units from where less is known of them."""
    scores_from: int = 0
    """Scores, and the counts of them, look no further back than to this offset, where
    another detector's ended. Windows do."""


def mark(unit: str, opened_at_s: float) -> int:
    """An incident in 32 bits."""
    digest = hashlib.blake2b(f"{opened_at_s!r} {unit}".encode(), digest_size=MARK_BYTES)
    return int.from_bytes(digest.digest(), "little")


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
    id: bytes = b""
    """See `OpenIncident.incident_id`."""


class _Note(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    writer: bytes
    detector: str
    next_offset: int
    replay_from: int
    n_readings: int
    scores_from: int
    sensors: list[str]
    """Those that incidents name."""
    incidents: list[_Incident]
    reopened: bytes | None
    """Of each `MARK_BYTES`."""


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
                marks = frozenset(mark(unit, each.opened_at_s) for unit, each in left_out)
                text = self._text(
                    replace(
                        note,
                        incidents=incidents[:n_kept],
                        replay_from=max(floor, begin),
                        reopened=marks if has_marks else None,
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
            reopened = None
            if found.reopened is not None:
                reopened = frozenset(np.frombuffer(found.reopened, "<u4").tolist())
        except (ValueError, OverflowError, OSError, zlib.error, msgspec.MsgspecError):
            return None
        if not 0 <= found.replay_from <= found.next_offset or found.n_readings < 1:
            return None
        if found.writer == self._writer:
            return Note(
                found.next_offset,
                found.replay_from,
                incidents,
                reopened,
                found.scores_from,
            )
        # By guess where it needs more: nothing says where that many begin.
        n_times = max(1, -(-self._n_readings // found.n_readings))
        n_back = n_times * (found.next_offset - found.replay_from)
        begin = max(0, found.next_offset - n_back)
        return Note(found.next_offset, begin, incidents, frozenset(), found.next_offset)

    def _text(self, note: Note) -> str:
        marks = note.reopened
        place_of: dict[int, int] = {}
        incidents = [self._packed(u, incident, place_of) for u, incident in note.incidents]
        packed = msgspec.msgpack.encode(
            _Note(
                VERSION,
                self._writer,
                self._digest,
                note.next_offset,
                note.replay_from,
                self._n_readings,
                note.scores_from,
                [self._sensors[column] for column in place_of],
                incidents,
                None if marks is None else np.array(sorted(marks), "<u4").tobytes(),
            )
        )
        return base64.b85encode(zlib.compress(packed)).decode("ascii")

    def _packed(
        self, unit: str, incident: OpenIncident, place_of: dict[int, int]
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
            bytes.fromhex(incident.incident_id),
        )

    def _restored(self, packed: _Incident, note: _Note) -> OpenIncident:
        is_own = note.writer == self._writer
        n_kept = len(packed.sensors) // 14
        place_K = np.frombuffer(packed.sensors, "<u2", n_kept)
        rows_K3 = np.frombuffer(packed.sensors, "<f4", offset=2 * n_kept).reshape(n_kept, 3)
        if (place_K >= len(note.sensors)).any() or len(packed.id) not in (0, ID_BYTES):
            raise ValueError("not as this codec writes it")
        named = {
            note.sensors[place]: tuple(row)
            for place, row in zip(place_K.tolist(), rows_K3.tolist(), strict=True)
        }
        latent_L = np.frombuffer(packed.latent, "<f2").astype(np.float32)
        if len(latent_L) != self._n_latent or not is_own:
            # Of a worker that was told otherwise: this incident goes without.
            latent_L = np.empty(0, dtype=np.float32)
        known_id = packed.id.hex()
        if not is_own:
            known_id = known_id or incident_id(
                note.detector, packed.unit, packed.opened_at_s
            )
        return OpenIncident(
            opened_at_s=packed.opened_at_s,
            peak_score=packed.peak_score,
            told_score=packed.told_score,
            explanation=explained(named, self._column_of)._replace(latent_L=latent_L),
            replay_from=packed.replay_from if is_own else note.next_offset,
            is_restored=True,
            incident_id=known_id,
        )


def explained(
    named: Mapping[str, tuple[float, ...]], column_of: Mapping[str, int]
) -> Explanation:
    """What these sensors had to do with an incident, for a detector with these columns.

    Args:
        named: contribution, observed and expected value by sensor. Sensors that the
            detector does not have are left out.
        column_of: the detector's sensors, F of them, from 0 to F - 1.
    """
    why_3F = np.zeros((3, len(column_of)), dtype=np.float32)
    why_3F[1] = np.nan
    for name, row in named.items():
        if name in column_of:
            why_3F[:, column_of[name]] = row
    return Explanation(why_3F[0], why_3F[1], why_3F[2], np.empty(0, dtype=np.float32))
