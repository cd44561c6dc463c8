"""What both kafka-python clients share: connecting, errors, rebalance callbacks."""

import threading
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import kafka
from kafka.errors import (
    CommitFailedError,
    FencedInstanceIdError,
    InvalidProducerEpochError,
    KafkaConfigurationError,
    KafkaError,
    KafkaTimeoutError,
    MessageSizeTooLargeError,
    OffsetMetadataTooLargeError,
    ProducerFencedError,
    RebalanceInProgressError,
    RecordListTooLargeError,
)
from kafka.future import Future
from kafka.net.compat import KafkaNetClient

from pipeline.errors import InputError, MessageTooLarge, TransportError
from pipeline.records import Partition
from pipeline.transport.base import RebalanceListener
from pipeline.transport.client import NOTE_TOO_LARGE, Fenced, on_a_thread

SECURITY_PROTOCOLS = ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL")


def connected(
    client_class: Any,
    bootstrap_servers: str,
    client_options: Mapping[str, object],
    **options: Any,
) -> Any:
    """A connected client. If it cannot connect, none of its threads is left behind.

    Raises:
        InputError, TransportError: as the constructors say. Values of `client_options`
            are never part of the text: there are passwords among them.
    """
    if unknown := sorted(client_options.keys() - client_class.DEFAULT_CONFIG.keys()):
        raise InputError(f"kafka-python has no option {', '.join(unknown)}")
    # kafka-python itself takes any other value for PLAINTEXT.
    security = client_options.get("security_protocol", "PLAINTEXT")
    if security not in SECURITY_PROTOCOLS:
        raise InputError(
            f"security_protocol must be one of {', '.join(SECURITY_PROTOCOLS)}, "
            f"got {security!r}"
        )
    opened: list[Any] = []

    def open_network(*args: Any, **network_options: Any) -> Any:
        opened.append(KafkaNetClient(*args, **network_options))
        return opened[-1]

    servers = [server.strip() for server in bootstrap_servers.split(",")]
    configs = {**options, **client_options, "kafka_client": open_network}

    def connect() -> Any:
        try:
            return client_class(bootstrap_servers=servers, **configs)
        except BaseException:
            for network in opened:
                network.close()
            raise

    with translated_errors(f"Kafka {bootstrap_servers}"):
        try:
            # Until it is connected kafka-python runs its event loop on the calling thread,
            # and there swallows whatever a signal's handler raises: Ctrl-C and SIGTERM
            # would do nothing.
            return on_a_thread(connect)
        except KafkaTimeoutError as error:
            raise TransportError(
                f"Kafka {bootstrap_servers}: no server answered within "
                f"{configs['bootstrap_timeout_ms'] / 1000:g} s",
                retriable=True,
            ) from error
        except (KafkaConfigurationError, TypeError, ValueError) as error:
            raise InputError(f"Kafka {bootstrap_servers}: {error}") from error


@contextmanager
def translated_errors(name: str) -> Iterator[None]:
    """Turn the client's errors into ours, with `name` for what was spoken to.

    Raises:
        MessageTooLarge: the client or the broker says so.
        TransportError: any other error of the client or of the network.
    """
    try:
        yield
    except (MessageSizeTooLargeError, RecordListTooLargeError) as error:
        raise MessageTooLarge(f"{name}: message too large: {error}") from error
    except OffsetMetadataTooLargeError as error:
        raise TransportError(f"{name}: {NOTE_TOO_LARGE}", retriable=False) from error
    except (ProducerFencedError, InvalidProducerEpochError) as error:
        raise Fenced(name) from error
    except FencedInstanceIdError as error:
        raise TransportError(
            f"{name}: another consumer has this group_instance_id; each needs its own",
            retriable=False,
        ) from error
    except KafkaError as error:
        # Of offsets that go with a transaction kafka-python says no more.
        if OffsetMetadataTooLargeError.__name__ in str(error):
            raise TransportError(f"{name}: {NOTE_TOO_LARGE}", retriable=False) from error
        raise TransportError(f"{name}: {error}", retriable=_is_retriable(error)) from error
    except OSError as error:
        detail = str(error) or "no answer in time"
        raise TransportError(f"{name}: {detail}", retriable=True) from error


def _is_retriable(error: KafkaError) -> bool:
    # To kafka-python a commit refused because of a rebalance is a failure for good; the
    # next poll completes the rebalance, and then either the commit succeeds or the
    # listener is told that the partition is lost.
    if isinstance(error, CommitFailedError | RebalanceInProgressError):
        return True
    return bool(error.retriable)


class ListenerBridge(kafka.AsyncConsumerRebalanceListener):  # type: ignore[misc]
    """Translates rebalances for a `RebalanceListener`.

    kafka-python calls listeners on its event loop, where a commit would wait for itself
    and no heartbeat is sent meanwhile. So each call gets a thread, while `poll`, which
    caused it, waits.
    """

    def __init__(self, listener: RebalanceListener | None) -> None:
        self._listener = listener
        self._failure: BaseException | None = None
        self.call_on_loop: Callable[..., object]
        self.before_assigned: Callable[[], object]
        self.after_assigned: Callable[[], object]
        self.after_lost: Callable[[], object]
        self.closing = False
        self.revoking: frozenset[Partition] = frozenset()
        """Taken from the assignment, and still ours until the listener returns."""

    async def on_partitions_assigned(self, assigned: Collection[Any]) -> None:
        self.before_assigned()
        if self._listener is not None:
            await self._call(self._assign, _partitions(assigned))

    async def on_partitions_revoked(self, revoked: Collection[Any]) -> None:
        if self._listener is not None and not self.closing:
            self.revoking = _partitions(revoked)
            try:
                await self._call(self._listener.on_revoked, self.revoking)
            finally:
                self.revoking = frozenset()

    async def on_partitions_lost(self, lost: Collection[Any]) -> None:
        if self._listener is not None and not self.closing:
            await self._call(self._listener.on_lost, _partitions(lost))
        self.after_lost()

    def raise_failure(self) -> None:
        """Raise what the listener raised, if it did, as it was."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _assign(self, assigned: Collection[Partition]) -> None:
        if self._listener is not None:
            self._listener.on_assigned(assigned)
            self.after_assigned()

    async def _call(
        self,
        callback: Callable[[Collection[Partition]], None],
        partitions: frozenset[Partition],
    ) -> None:
        returned = Future()

        def run() -> None:
            try:
                callback(partitions)
            except BaseException as error:
                self._failure = error
            self.call_on_loop(returned.success, None)

        threading.Thread(target=run, name="rebalance-listener", daemon=True).start()
        await returned
        if self._failure is not None:
            # Ends the client's poll before it hands out records that would be lost.
            raise KafkaError("rebalance listener failed") from self._failure


def _partitions(topic_partitions: Collection[Any]) -> frozenset[Partition]:
    return frozenset(Partition(*each) for each in topic_partitions)
