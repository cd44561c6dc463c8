"""The note that stands beside a committed offset: what whoever takes the partition over
must know to go on as if nothing had happened."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from pipeline.incident import Explanation, OpenIncident

MARK_BYTES = 6


Incident = tuple[str, OpenIncident]
"""The unit, and what is open there."""


class LeftOut(NamedTuple):
    """An incident for which a note has no room, beside the `mark` that names it."""

    peak_score: float
    """As exact as 16 bits hold it."""
    opened_by: str
    """See `OpenIncident`."""


NOTHING: Mapping[bytes, LeftOut] = MappingProxyType({})


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
    left_out: Mapping[bytes, LeftOut] | None = field(default_factory=lambda: NOTHING)
    """The others, by `mark`; None if they are too many. What else is brought about is not
    open: it comes of reading units from where less is known of them."""
    scores_from: int = 0
    """Scores, and the counts of them, look no further back than to this offset, where
    another detector's ended. Windows do."""


def mark(unit: str, opened_at_s: float) -> bytes:
    """An incident in 48 bits: a unit, and the reading that opened it."""
    name = f"{opened_at_s!r} {unit}".encode()
    return hashlib.blake2b(name, digest_size=MARK_BYTES).digest()


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
