"""Which dead letters are sent back, and as what; and what is said of it."""

from collections import Counter
from dataclasses import dataclass, field

from pipeline.dead_letter import OMITTED, PREFIX
from pipeline.records import Headers, Message, Record

OTHER_REASON = "of another reason"
SENT_BEFORE = "sent back before"
NO_CONTENT = "without content, which was too large for a dead letter"
NO_TOPIC = "without a header that says which topic it came from"
SAME_TOPIC = "of the dead-letter topic itself"

MAX_TOLD = 10


@dataclass(frozen=True, slots=True)
class Choice:
    """Which dead letters are sent back, and where to."""

    dead_letters_topic: str
    reasons: frozenset[str] = frozenset()
    """Empty: all."""
    to_topic: str | None = None
    """None: to where each came from."""
    limit: int | None = None
    """Most to send."""
    is_dry_run: bool = False
    """Send nothing, and remember nothing."""

    def refusal(self, record: Record) -> str | None:
        """Why this one is not sent back; None if it is."""
        headers = _ours(record.headers)
        if self.reasons and reason_of(record) not in self.reasons:
            return OTHER_REASON
        if OMITTED in headers:
            return NO_CONTENT
        topic = self._topic(record)
        if not topic:
            return NO_TOPIC
        return SAME_TOPIC if topic == self.dead_letters_topic else None

    def returned(self, record: Record) -> Message:
        """The record as it was before it became a dead letter."""
        return Message(
            topic=self._topic(record),
            key=record.key,
            value=record.value,
            headers=[(n, v) for n, v in record.headers if not n.startswith(PREFIX)],
            timestamp_ms=record.timestamp if record.timestamp >= 0 else None,
        )

    def _topic(self, record: Record) -> str:
        return self.to_topic or _ours(record.headers).get(PREFIX + "topic", "")


@dataclass(slots=True)
class Summary:
    """What one call did."""

    sent: Counter[str] = field(default_factory=Counter)
    """By reason."""
    skipped: Counter[str] = field(default_factory=Counter)
    """By why."""
    without_content: list[str] = field(default_factory=list)
    """Where the first of these records still stand."""

    def count(self, record: Record, refusal: str | None) -> None:
        """Add one: as sent, or as skipped for this reason."""
        if refusal is None:
            self.sent[reason_of(record)] += 1
            return
        self.skipped[refusal] += 1
        if refusal == NO_CONTENT and len(self.without_content) < MAX_TOLD:
            headers = _ours(record.headers)
            topic, partition, offset = (
                headers.get(PREFIX + name) for name in ("topic", "partition", "offset")
            )
            self.without_content.append(f"{topic}[{partition}] offset {offset}")

    def lines(self, is_dry_run: bool) -> list[str]:
        """For a person."""
        verb = "would send" if is_dry_run else "sent"
        by_reason = ", ".join(f"{reason} {n}" for reason, n in sorted(self.sent.items()))
        first = f"{verb} {self.sent.total()}" + (f": {by_reason}" if by_reason else "")
        skipped = [f"skipped {n} {why}" for why, n in sorted(self.skipped.items())]
        return [first, *skipped, *(f"still at {at}" for at in self.without_content)]


def reason_of(record: Record) -> str:
    """Why it became a dead letter."""
    return _ours(record.headers).get(PREFIX + "reason") or "unknown"


def _ours(headers: Headers) -> dict[str, str]:
    return {
        name: (value or b"").decode(errors="replace")
        for name, value in headers
        if name.startswith(PREFIX)
    }
