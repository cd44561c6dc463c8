"""The note that stands beside a committed offset: what whoever takes the partition over
must know to go on as if nothing had happened."""

import base64
import hashlib
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

import msgspec
import numpy as np

from pipeline.incident import Explanation, OpenIncident

VERSION = 2
MAX_TEXT_BYTES = 64 * 2**10
MARK_BYTES = 4
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
    """The largest contributions first: their columns, 2 bytes each, then a row of three
    float32 each. See `Explanation`."""
    latent: bytes = b""
    """Its latent vector, float16, where alerts hold it."""


class _Note(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    version: int
    detector: bytes
    next_offset: int
    replay_from: int
    incidents: list[_Incident]
    reopened: bytes | None
    """Of each `MARK_BYTES`."""


class NoteCodec:
    """Notes to ASCII text and back, for one detector."""

    def __init__(
        self,
        digest: str,
        n_sensors: int,
        max_sensors: int,
        max_bytes: int,
        n_latent: int = 0,
    ) -> None:
        """Args:
        digest: the detector's. What another one knew of its units is of no use.
        n_sensors: the detector's, F.
        max_sensors: so many of them an alert names.
        max_bytes: longest text.
        n_latent: L, if alerts hold latent vectors; 0 if they do not.
        """
        self._n_latent = n_latent
        self._detector = hashlib.sha256(digest.encode()).digest()[:8]
        self._n_sensors = n_sensors
        self._max_sensors = max_sensors
        self._max_bytes = max_bytes

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
        """The note in this text; None if it is none, or of another detector."""
        if not 0 < len(text) <= MAX_TEXT_BYTES:
            return None
        try:
            unpacker = zlib.decompressobj()
            packed = unpacker.decompress(base64.b85decode(text), MAX_UNPACKED_BYTES)
            found = msgspec.msgpack.decode(packed, type=_Note)
            if (found.version, found.detector) != (VERSION, self._detector):
                return None
            incidents = [(each.unit, self._restored(each)) for each in found.incidents]
            reopened = None
            if found.reopened is not None:
                reopened = frozenset(np.frombuffer(found.reopened, "<u4").tolist())
        except (ValueError, zlib.error, msgspec.MsgspecError):
            return None
        if not 0 <= found.replay_from <= found.next_offset:
            return None
        return Note(found.next_offset, found.replay_from, incidents, reopened)

    def _text(self, note: Note) -> str:
        marks = note.reopened
        packed = msgspec.msgpack.encode(
            _Note(
                VERSION,
                self._detector,
                note.next_offset,
                note.replay_from,
                [self._packed(unit, incident) for unit, incident in note.incidents],
                None if marks is None else np.array(sorted(marks), "<u4").tobytes(),
            )
        )
        return base64.b85encode(zlib.compress(packed)).decode("ascii")

    def _packed(self, unit: str, incident: OpenIncident) -> _Incident:
        why = incident.explanation
        largest = np.argsort(-why.contribution_F, kind="stable")[: self._max_sensors]
        why_F3 = np.stack([why.contribution_F, why.observed_F, why.expected_F], axis=1)
        rows_K3 = why_F3[largest]
        return _Incident(
            unit,
            incident.opened_at_s,
            incident.peak_score,
            incident.told_score,
            incident.replay_from,
            largest.astype("<u2").tobytes() + rows_K3.astype("<f4").tobytes(),
            why.latent_L.astype("<f2").tobytes(),
        )

    def _restored(self, packed: _Incident) -> OpenIncident:
        n_kept = len(packed.sensors) // 14
        column_K = np.frombuffer(packed.sensors, "<u2", n_kept).astype(np.int64)
        rows_K3 = np.frombuffer(packed.sensors, "<f4", offset=2 * n_kept).reshape(n_kept, 3)
        if (column_K >= self._n_sensors).any():
            raise ValueError("more sensors than the detector has")
        why_3F = np.zeros((3, self._n_sensors), dtype=np.float32)
        why_3F[:, column_K] = rows_K3.T
        latent_L = np.frombuffer(packed.latent, "<f2").astype(np.float32)
        if len(latent_L) != self._n_latent:
            # Of a worker that was told otherwise: this incident goes without.
            latent_L = np.empty(0, dtype=np.float32)
        return OpenIncident(
            opened_at_s=packed.opened_at_s,
            peak_score=packed.peak_score,
            told_score=packed.told_score,
            explanation=Explanation(why_3F[0], why_3F[1], why_3F[2], latent_L),
            replay_from=packed.replay_from,
            is_restored=True,
        )
