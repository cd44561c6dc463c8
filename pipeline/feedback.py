"""What operators say of incidents: the contract of the feedback topic.

The same contract as a JSON Schema is `pipeline/feedback.schema.json`.
"""

from typing import Annotated, Literal

import msgspec

from pipeline.errors import InputError
from pipeline.times import parse_iso_s

SCHEMA: Literal["feedback/1"] = "feedback/1"
MAX_SHOWN_OF_ERROR = 200
Verdict = Literal["true", "false", "maintenance", "expected"]
VERDICTS: tuple[Verdict, ...] = ("true", "false", "maintenance", "expected")


class Feedback(msgspec.Struct, frozen=True):
    """One verdict on one incident. Of several on the same the latest counts."""

    incident_id: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    verdict: Verdict | bool
    """`true`: an anomaly. `false`: nothing was unusual. `expected`: unusual, and to be
    taken for normal. `maintenance`: neither, not to be learned from. JSON's own true and
    false mean the same as the words."""
    who: Annotated[str, msgspec.Meta(min_length=1, max_length=256)]
    when: Annotated[str, msgspec.Meta(max_length=64)]
    """ISO 8601; without an offset it is UTC."""
    note: Annotated[str, msgspec.Meta(max_length=1_000)] | None = None
    """What it was, in words: for people, not for training."""
    schema: Literal["feedback/1"] = SCHEMA

    @property
    def word(self) -> Verdict:
        """The verdict as a word."""
        if isinstance(self.verdict, bool):
            return "true" if self.verdict else "false"
        return self.verdict


def decode(value: bytes) -> tuple[Feedback, float]:
    """Read one record of the feedback topic, and when it was said: seconds since 1970.

    Raises:
        InputError: not a verdict of this version.
    """
    try:
        feedback = msgspec.json.decode(value, type=Feedback)
        return feedback, parse_iso_s(feedback.when)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        said = str(error)[:MAX_SHOWN_OF_ERROR]
        raise InputError(f"expected a record of {SCHEMA!r}: {said}") from error
