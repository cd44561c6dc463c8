"""Which dead letters of a partition `redrive` has dealt with."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from pipeline.transport.base import Committed


@dataclass(frozen=True, slots=True)
class Settled:
    """How far a partition was sent back: all of it, and further what has some reasons.

    Stored as a consumer group's offset and the note beside it, so that a call for one
    reason leaves the others to a later call, and none is sent twice.
    """

    all_before: int = 0
    """Every dead letter before this offset is settled."""
    of_reason_before: Mapping[str, int] = field(default_factory=dict)
    """By reason, for those that are further."""

    @classmethod
    def of(cls, committed: Committed | None) -> "Settled":
        """What a group has stored. A text of another kind adds nothing to the offset."""
        if committed is None:
            return cls()
        try:
            note = json.loads(committed.note or "{}")
            by_reason = {str(reason): int(offset) for reason, offset in note.items()}
        except (AttributeError, TypeError, ValueError):
            by_reason = {}
        return cls(committed.next_offset, by_reason)

    def note(self) -> str:
        """For what is stored beside `all_before`."""
        return json.dumps(dict(self.of_reason_before)) if self.of_reason_before else ""

    def holds(self, offset: int, reason: str) -> bool:
        """Whether this one is settled."""
        return offset < max(self.all_before, self.of_reason_before.get(reason, 0))

    def begin(self, reasons: Collection[str]) -> int:
        """From where there may be some that are not, of these reasons; of all if empty."""
        of_reasons = [self.of_reason_before.get(reason, 0) for reason in reasons]
        return max(self.all_before, min(of_reasons, default=0))

    def up_to(self, offset: int, reasons: Collection[str]) -> "Settled":
        """With those of `reasons` before `offset` settled; all if that is empty."""
        if reasons:
            by_reason = {**self.of_reason_before, **dict.fromkeys(reasons, offset)}
            return Settled(self.all_before, by_reason)
        further = {r: at for r, at in self.of_reason_before.items() if at > offset}
        return Settled(max(self.all_before, offset), further)
