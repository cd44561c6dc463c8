"""A worker's two ends, held by whoever hands it records."""

from collections import deque
from collections.abc import Collection, Mapping, Sequence

from pipeline.records import Message, Partition, Records
from pipeline.transport.base import NO_NOTES, Committed


class Feed:
    """A consumer that returns what it was given, one batch a poll. See `base.Consumer`."""

    def __init__(self) -> None:
        self._waiting: deque[Records] = deque()

    def put(self, records: Records) -> None:
        """What the next poll returns."""
        self._waiting.append(records)

    def poll(self, max_records: int, timeout_s: float) -> Records:
        return self._waiting.popleft() if self._waiting else Records([], {})

    def keep_alive(self) -> None:
        """There is no group."""

    def commit(
        self,
        next_offsets: Mapping[Partition, int],
        timeout_s: float,
        notes: Mapping[Partition, str] = NO_NOTES,
    ) -> None:
        """Nothing is stored."""

    def committed(
        self, partitions: Collection[Partition], timeout_s: float
    ) -> Mapping[Partition, Committed]:
        return {}

    def seek(self, partition: Partition, offset: int) -> None:
        """Whoever feeds it knows where it stands."""

    def assignment(self) -> frozenset[Partition]:
        return frozenset()

    def lag(self) -> Mapping[Partition, int]:
        return {}

    def close(self, timeout_s: float) -> None:
        """There is nothing to leave."""


class Caught:
    """A producer that keeps what is sent until it is taken. See `base.Producer`."""

    def __init__(self) -> None:
        self._messages: list[Message] = []

    def send(self, messages: Sequence[Message]) -> None:
        self._messages += messages

    def take(self) -> list[Message]:
        """What was sent since the last time."""
        messages, self._messages = self._messages, []
        return messages

    def check_topics(self, topics: Sequence[str], timeout_s: float) -> list[str]:
        return []

    def close(self, timeout_s: float) -> None:
        """There is nothing to disconnect."""
