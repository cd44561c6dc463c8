"""What a poll returned, cut into parts that are committed one by one."""

from hypothesis import given
from hypothesis import strategies as st

from pipeline.records import Partition, Records, parts
from tests.builders import record


@given(
    sizes=st.lists(st.integers(0, 50), max_size=40),
    max_bytes=st.integers(1, 100),
    n_skipped=st.integers(0, 3),
)
def test_parts_hold_every_record_in_order_and_end_where_the_poll_ended(
    sizes: list[int], max_bytes: int, n_skipped: int
) -> None:
    records = [record(b"x" * size, offset=i) for i, size in enumerate(sizes)]
    partition = Partition("readings", 0)
    ends = {partition: len(sizes) + n_skipped} if sizes else {}

    cut = list(parts(Records(records, ends), max_bytes))

    assert [r for part in cut for r in part.records] == records
    assert all(len(part.records) >= 1 for part in cut)
    for part in cut:
        n_bytes = sum(len(r.value or b"") for r in part.records)
        assert n_bytes <= max_bytes or len(part.records) == 1
    for part in cut[:-1]:
        assert part.next_offsets == {partition: part.records[-1].offset + 1}
    if cut:
        assert cut[-1].next_offsets == ends


def test_a_partition_that_ends_within_an_earlier_part_is_behind_its_last_record() -> None:
    records = [record(b"x", partition=0), record(b"x", partition=1)]
    ends = {Partition("readings", 0): 1, Partition("readings", 1): 5}

    first, last = parts(Records(records, ends), max_bytes=1)

    assert first.next_offsets == {Partition("readings", 0): 1}
    assert last.next_offsets == {Partition("readings", 1): 5}
