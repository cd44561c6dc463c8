"""Rows of units: stable, bounded, and forgotten by partition."""

import numpy as np

from pipeline.records import Partition, Readings, Records
from pipeline.units import TOO_MANY_UNITS, Units
from tests.builders import polled, readings, record


def poll(n_records: int) -> Records:
    return polled(*(record(offset=i) for i in range(n_records)))


def rows(units: Units, arrived: Readings) -> list[int]:
    """The rows of readings that must all be admitted."""
    admitted, row_N, rejects = units.admit(arrived, poll(len(arrived)))
    assert rejects == []
    assert len(admitted) == len(arrived)
    return [int(row) for row in row_N]


def test_a_unit_keeps_its_row() -> None:
    units = Units(max_units=10)

    a, b, a_again = rows(units, readings(["a", "b", "a"]))

    assert a == a_again != b
    assert rows(units, readings(["b", "c", "a"]))[::2] == [b, a]
    assert (len(units), units.n_rows) == (3, 3)


def test_a_name_in_two_partitions_is_two_units() -> None:
    arrived = readings(["a", "a"], partition_N=[0, 1], n_partitions=2)

    first, second = rows(Units(max_units=10), arrived)

    assert first != second


def test_one_unit_too_many_refuses_its_record_and_no_other() -> None:
    units = Units(max_units=2)

    admitted, row_N, rejects = units.admit(readings(["a", "b", "c", "a"]), poll(4))

    assert admitted.units == ["a", "b", "a"]
    assert len(row_N) == 3
    [reject] = rejects
    assert (reject.record.offset, reject.reason) == (2, TOO_MANY_UNITS)
    assert "2 units" in reject.detail


def test_a_record_with_one_unit_too_many_is_refused_whole() -> None:
    units = Units(max_units=1)
    arrived = readings(["a", "a", "b", "a"], record_N=[0, 1, 1, 2])

    admitted, row_N, rejects = units.admit(arrived, poll(3))

    assert admitted.record_N.tolist() == [0, 2]
    assert len(row_N) == 2
    assert [reject.record.offset for reject in rejects] == [1]


def test_a_record_with_several_units_too_many_is_refused_once() -> None:
    arrived = readings(["a", "b", "c"], record_N=[0, 1, 1])

    _, _, rejects = Units(max_units=1).admit(arrived, poll(2))

    assert len(rejects) == 1


def test_a_refused_record_uses_up_no_rows() -> None:
    units = Units(max_units=2)

    units.admit(readings(["a", "b", "c"], record_N=[0, 0, 0]), poll(1))

    assert rows(units, readings(["d", "e"])) == [0, 1]


def test_known_units_are_admitted_when_no_further_one_is() -> None:
    units = Units(max_units=1)
    rows(units, readings(["a"]))

    units.admit(readings(["b"]), poll(1))

    assert rows(units, readings(["a"])) == [0]
    assert len(units) == 1


def test_forgetting_a_partition_frees_its_rows_and_no_others() -> None:
    units = Units(max_units=3)
    arrived = readings(["a", "b", "c"], partition_N=[0, 1, 0], n_partitions=2)
    a, b, c = rows(units, arrived)

    freed = units.forget([Partition("readings", 0)])

    assert sorted(freed.tolist()) == sorted([a, c])
    assert len(units) == 1
    assert rows(units, arrived)[1] == b


def test_freed_rows_are_given_out_again_before_new_ones() -> None:
    units = Units(max_units=2)
    rows(units, readings(["a", "b"]))
    units.forget([Partition("readings", 0)])

    assert sorted(rows(units, readings(["c", "d"]))) == [0, 1]
    assert units.n_rows == 2


def test_forgetting_a_partition_that_had_no_units_frees_nothing() -> None:
    freed = Units(max_units=2).forget([Partition("readings", 7)])

    assert freed.dtype == np.int64
    assert len(freed) == 0


def test_no_readings_need_no_rows() -> None:
    assert rows(Units(max_units=1), readings([])) == []
