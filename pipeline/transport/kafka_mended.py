"""What kafka-python 3.0 does otherwise than a worker needs, mended from outside."""

from typing import Any

from kafka.coordinator.base import MemberState
from kafka.coordinator.consumer import ConsumerCoordinator


def mend(client: Any) -> None:
    """Have this new `kafka.KafkaConsumer` join, and poll, as described below."""
    client._coordinator.__class__ = PatientCoordinator
    _look_before_sleeping(client._fetcher)


def goes_on_joining(client: Any) -> bool:
    """Whether the group has yet to be joined. Sees to it that it will be.

    kafka-python forgets a join that outlives one poll, if it was new metadata (a topic or
    partitions created later) that asked for it: no record would ever come again.
    """
    coordinator = client._coordinator
    if coordinator._join_task is not None:
        coordinator.request_rejoin()
    return bool(coordinator.need_rejoin())


def claim_nothing(client: Any) -> None:
    """Have it own nothing, as of the next join; all its partitions were lost.

    kafka-python goes on to claim what it has lost, and gets it from its new owner before
    that one has committed and given it up.
    """
    for assignor in client._coordinator._assignors.values():
        assignor.member_assignment = None


class PatientCoordinator(ConsumerCoordinator):  # type: ignore[misc]
    """Takes a join for done that ended between two polls. Takes the place of its base.

    kafka-python would join once more, for which all other members have to join again: with
    members that are busy between their polls, and join while they are, that has no end.
    """

    _join_task: Any
    state: Any

    async def join_group_async(self, timeout_ms: float | None = None) -> Any:
        joined = self._join_task
        if joined is None or not joined.is_done or not joined.succeeded():
            return await super().join_group_async(timeout_ms)
        self._join_task = None
        with self._lock:
            # Thrown out since, it has to join anew.
            is_member = self.state is MemberState.REBALANCING
            if is_member:
                self.rejoining = self.rejoin_needed = False
                self.state = MemberState.STABLE
                self._enable_heartbeat()
        if not is_member:
            return await super().join_group_async(timeout_ms)
        generation = self._generation
        await self._on_join_complete_async(
            generation.generation_id,
            generation.member_id,
            generation.protocol,
            joined.value,
        )
        return True


def _look_before_sleeping(fetcher: Any) -> None:
    """Spare polls 0.1 s of sleep beside records that have come.

    kafka-python looks for records, forgets what fetches are done, and sleeps if none is
    left: one that was done in between has brought records. At 5,000 readings/s more than
    one alert in a hundred waited for that.
    """
    fetch_records = fetcher.fetch_records

    def fetch(max_records: int, *, update_offsets: bool, timeout_ms: float) -> Any:
        records, is_idle = fetch_records(
            max_records, update_offsets=update_offsets, timeout_ms=timeout_ms
        )
        if is_idle and not records:
            records, _ = fetcher.fetched_records(max_records, update_offsets=update_offsets)
        return records, is_idle and not records

    fetcher.fetch_records = fetch
