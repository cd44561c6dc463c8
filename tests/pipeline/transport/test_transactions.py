"""What becomes of a transaction when its connection fails, step by step."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from pipeline.errors import MessageTooLarge, TransportError
from pipeline.records import Message, Partition
from pipeline.transport.base import Consumer
from pipeline.transport.client import Fenced
from pipeline.transport.memory import MemoryBroker, MemoryConsumer
from pipeline.transport.transactions import Transactions
from tests.support import numbered

TOPIC = "readings"
PARTITION = Partition(TOPIC, 0)
NO_ANSWER = TransportError("no answer", retriable=True)


class Connection:
    """Stands for a client. Each step takes the next of `failures` of its name, if any."""

    transaction_timeout_s = 30.0

    def __init__(self, max_messages: int = 1_000) -> None:
        self.failures: dict[str, list[BaseException | None]] = {}
        self.published: list[str] = []
        self.steps: list[str] = []
        self.commits_unanswered = False
        self._max_messages = max_messages
        self._in_transaction: list[str] = []

    def begin(self, deadline_s: float) -> None:
        self._in_transaction = []
        self._step("begin")

    def publish(self, messages: Sequence[Message], deadline_s: float) -> None:
        if len(messages) > self._max_messages:
            raise MessageTooLarge("too large")
        self._step("publish")
        self._in_transaction += [(message.value or b"").decode() for message in messages]

    def prepare(
        self,
        consumer: Consumer,
        next_offsets: Mapping[Partition, int],
        notes: Mapping[Partition, str],
    ) -> Any:
        return lambda: consumer.commit(next_offsets, 1.0, notes)

    def commit(self, prepared: Callable[[], None], deadline_s: float) -> None:
        if self.commits_unanswered:
            self.published += self._in_transaction
            prepared()
        self._step("commit")
        self.published += self._in_transaction
        prepared()

    def abort(self, deadline_s: float) -> None:
        self._step("abort")

    def settle(self, deadline_s: float) -> None:
        self._step("settle")

    def discard(self) -> None:
        self.steps.append("discard")

    def check_topics(self, topics: Sequence[str], timeout_s: float) -> list[str]:
        return []

    def close(self, timeout_s: float) -> None:
        self.steps.append("close")

    def _step(self, name: str) -> None:
        self.steps.append(name)
        failures = self.failures.get(name)
        if failures and (failure := failures.pop(0)) is not None:
            raise failure


@pytest.fixture
def consumer() -> MemoryConsumer:
    broker = MemoryBroker()
    broker.append(numbered(TOPIC, 10))
    consumer = MemoryConsumer(broker, group_id="group", topic=TOPIC)
    consumer.poll(10, 0.0)
    return consumer


def test_what_could_not_be_committed_is_published_by_the_next_commit(
    consumer: MemoryConsumer,
) -> None:
    connection = Connection()
    producer = Transactions(connection, 30.0)
    connection.failures["commit"] = [NO_ANSWER]
    producer.send(numbered("alerts", 2))

    with pytest.raises(TransportError, match="no answer"):
        producer.commit(consumer, {PARTITION: 5}, 1.0)
    producer.send(numbered("alerts", 1, first=2))
    producer.commit(consumer, {PARTITION: 7}, 1.0)

    assert connection.published == ["0", "1", "2"]
    assert consumer.committed([PARTITION], 1.0)[PARTITION].next_offset == 7


def test_a_commit_that_came_to_pass_unanswered_is_not_made_again(
    consumer: MemoryConsumer,
) -> None:
    connection = Connection()
    producer = Transactions(connection, 30.0)
    connection.failures["commit"] = [NO_ANSWER]
    connection.commits_unanswered = True
    producer.send(numbered("alerts", 2))

    with pytest.raises(TransportError, match="no answer"):
        producer.commit(consumer, {PARTITION: 5}, 1.0, {PARTITION: "a note"})
    connection.commits_unanswered = False
    producer.send(numbered("alerts", 1, first=2))
    producer.commit(consumer, {PARTITION: 7}, 1.0)

    assert connection.published == ["0", "1", "2"]


def test_offsets_that_stood_there_before_are_no_sign_of_a_commit() -> None:
    broker = MemoryBroker(n_partitions=2)
    consumer = MemoryConsumer(broker, group_id="group", topic=TOPIC)
    consumer.poll(10, 0.0)
    other = Partition(TOPIC, 1)
    connection = Connection()
    producer = Transactions(connection, 30.0)
    producer.commit(consumer, {PARTITION: 5, other: 5}, 1.0)
    connection.failures["commit"] = [NO_ANSWER]
    producer.send(numbered("alerts", 1))

    with pytest.raises(TransportError, match="no answer"):
        producer.commit(consumer, {PARTITION: 5, other: 6}, 1.0)
    producer.commit(consumer, {PARTITION: 5, other: 6}, 1.0)

    assert connection.published == ["0"]


def test_what_is_withdrawn_after_a_commit_that_failed_is_not_published_again(
    consumer: MemoryConsumer,
) -> None:
    connection = Connection()
    producer = Transactions(connection, 30.0)
    connection.failures["commit"] = [NO_ANSWER]
    producer.send(numbered("alerts", 2, source=PARTITION))
    with pytest.raises(TransportError, match="no answer"):
        producer.commit(consumer, {PARTITION: 5}, 1.0)

    producer.withdraw([PARTITION], 1.0)
    producer.send(numbered("alerts", 1, first=2))
    producer.commit(consumer, {PARTITION: 7}, 1.0)

    assert connection.published == ["2"]
    # At once: readers wait for the end of what was left open.
    assert connection.steps[3] == "settle"


@pytest.mark.parametrize("came_to_pass", [True, False])
def test_what_is_left_after_a_commit_that_was_not_answered_is_published_once(
    consumer: MemoryConsumer, came_to_pass: bool
) -> None:
    connection = Connection()
    producer = Transactions(connection, 30.0)
    connection.failures["commit"] = [NO_ANSWER]
    connection.commits_unanswered = came_to_pass
    lost = Partition(TOPIC, 1)
    producer.send([*numbered("alerts", 1, source=lost), *numbered("alerts", 1, first=1)])
    with pytest.raises(TransportError, match="no answer"):
        producer.commit(consumer, {PARTITION: 5}, 1.0)
    connection.commits_unanswered = False

    producer.withdraw([lost], 1.0)
    producer.commit(consumer, {PARTITION: 5}, 1.0)

    assert connection.published == (["0", "1"] if came_to_pass else ["1"])


def test_a_transaction_that_the_broker_is_about_to_end_is_begun_anew(
    consumer: MemoryConsumer,
) -> None:
    connection = Connection()
    connection.transaction_timeout_s = 0.0
    producer = Transactions(connection, 30.0)

    producer.send(numbered("alerts", 2))
    producer.commit(consumer, {PARTITION: 5}, 1.0)

    assert connection.published == ["0", "1"]
    assert connection.steps.count("begin") > 1


def test_what_is_too_large_only_together_is_added_in_parts(
    consumer: MemoryConsumer,
) -> None:
    connection = Connection(max_messages=3)
    producer = Transactions(connection, 30.0)

    producer.send(numbered("alerts", 10))
    producer.commit(consumer, {PARTITION: 5}, 1.0)

    assert connection.published == [str(i) for i in range(10)]


def test_what_fails_in_parts_is_not_part_of_the_transaction(
    consumer: MemoryConsumer,
) -> None:
    connection = Connection(max_messages=3)
    producer = Transactions(connection, 30.0)
    producer.send(numbered("alerts", 1))
    connection.failures["publish"] = [None, None, NO_ANSWER]

    with pytest.raises(TransportError, match="no answer"):
        producer.send(numbered("alerts", 6, first=1))
    producer.commit(consumer, {PARTITION: 5}, 1.0)

    assert connection.published == ["0"]


def test_a_producer_that_is_fenced_does_not_fence_the_other_in_turn(
    consumer: MemoryConsumer,
) -> None:
    connection = Connection()
    producer = Transactions(connection, 30.0)
    producer.send(numbered("alerts", 1))
    connection.failures["commit"] = [Fenced("Kafka")]
    with pytest.raises(Fenced):
        producer.commit(consumer, {PARTITION: 5}, 1.0)
    connection.steps.clear()

    with pytest.raises(Fenced):
        producer.send(numbered("alerts", 1))
    with pytest.raises(Fenced):
        producer.commit(consumer, {PARTITION: 5}, 1.0)
    producer.close(1.0)

    assert connection.steps == ["close"]
