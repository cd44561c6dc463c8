"""What is to be published of the batch in hand."""

from collections import deque
from collections.abc import Collection, Iterable

from pipeline.dead_letter import is_dead_letter, stub
from pipeline.delivery import Delivery
from pipeline.errors import MessageTooLarge
from pipeline.records import Message, Partition


class Outbox:
    """Owns the messages that are not published yet, so that trying again sends no other."""

    def __init__(self, delivery: Delivery) -> None:
        self._delivery = delivery
        self._waiting: deque[Message] = deque()

    def put(self, messages: Iterable[Message]) -> None:
        """Add these."""
        self._waiting.extend(messages)

    def withdraw(self, partitions: Collection[Partition]) -> None:
        """Drop those that came of these partitions."""
        self._waiting = deque(m for m in self._waiting if m.source not in partitions)

    def send(self) -> None:
        """Publish all, and return once every one is acknowledged.

        A dead letter that is too large with its headers is sent without its content.

        Raises:
            MessageTooLarge: an alert is larger than the broker takes.
            TransportError: the broker refused, or did not answer in time.
        """
        try:
            self._delivery.send(list(self._waiting))
        except MessageTooLarge:
            # Some may be published already: a dead letter twice is better than none.
            while self._waiting:
                self._send_one(self._waiting[0])
                self._waiting.popleft()
        self._waiting.clear()

    def _send_one(self, message: Message) -> None:
        try:
            self._delivery.send([message])
        except MessageTooLarge:
            if not is_dead_letter(message):
                raise
            self._delivery.send([stub(message)])
