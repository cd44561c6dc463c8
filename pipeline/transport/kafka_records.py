"""Reads record batches where kafka-python would stop, and says where it cannot either."""

from typing import Any, SupportsIndex

from kafka.consumer.fetcher import Fetcher
from kafka.record.default_records import DefaultRecordBatch
from kafka.record.util import decode_varint

from pipeline.records import Partition


class UnreadableBatch(Exception):
    """A record batch that no retry makes readable.

    Attributes:
        partition, offset: where the group stands, which is in this batch.
        next_offset: that of the first record after the batch.
    """

    def __init__(self, partition: Partition, offset: int, next_offset: int, why: str):
        super().__init__(
            f"{partition} offset {offset}: the record batch that ends before offset "
            f"{next_offset} cannot be read: {why}"
        )
        self.partition = partition
        self.offset = offset
        self.next_offset = next_offset


class PartitionRecords(Fetcher.PartitionRecords):  # type: ignore[misc]
    """What one fetch brought of one partition. Takes the place of kafka-python's class."""

    _failure: UnreadableBatch | None = None

    def take(self, n: int | None = None) -> list[Any]:
        """The next `n` records.

        Raises:
            UnreadableBatch: this time and every time: having failed once, kafka-python's
                own class would give nothing for ever, and its caller never return.
        """
        if self._failure is None:
            try:
                records: list[Any] = super().take(n)
                return records
            except Exception as error:
                # Not only its own errors: a decompressor raises whatever it likes.
                why = " ".join(str(error).split()) or type(error).__name__
                offset = self.next_fetch_offset
                # Records of a batch can only be read from its beginning: whoever is to go
                # on has to do so after the whole batch.
                last_offset = getattr(self._batches.current, "last_offset", offset)
                self._failure = UnreadableBatch(
                    Partition(*self.topic_partition),
                    offset,
                    max(offset, last_offset) + 1,
                    why,
                )
                self._failure.__cause__ = error
        raise self._failure

    def _unpack_records(self, tp: Any, records: Any, *deserializers: Any) -> Any:
        self._batches = _Batches(records)
        return super()._unpack_records(tp, self._batches, *deserializers)


class _Batches:
    """The batches of one fetch, each of them lenient."""

    def __init__(self, records: Any) -> None:
        self._records = records
        self.current: Any = None

    def next_batch(self) -> Any:
        self.current = self._records.next_batch()
        if type(self.current) is DefaultRecordBatch:
            self.current.__class__ = _LenientBatch
        return self.current


class _LenientBatch(DefaultRecordBatch):  # type: ignore[misc]
    """A batch whose header names may be any bytes, as librdkafka's users may send them.

    kafka-python refuses such a batch, and would again after every restart. Here bytes that
    are not UTF-8 arrive as `\\xff`, backslash and all, which can be published again.
    """

    __slots__ = ()

    def _read_msg(self: Any) -> Any:
        try:
            return super()._read_msg()
        except UnicodeDecodeError:
            # Raised before the position moved, so the record can be read once more. From a
            # buffer of its own, as reading it that way is slow.
            buffer = self._buffer
            n_bytes, begin = decode_varint(buffer, self._pos)
            end = begin + n_bytes
            self._buffer, self._pos = _AnyText(buffer[self._pos : end]), 0
            try:
                return super()._read_msg()
            finally:
                self._buffer, self._pos = buffer, end


class _AnyText(bytearray):
    """Bytes whose slices decode whatever they hold."""

    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        part = super().__getitem__(index)
        return _AnyText(part) if isinstance(part, bytearray) else part

    def decode(self, encoding: str = "utf-8", errors: str = "") -> str:
        return super().decode(encoding, "backslashreplace")
