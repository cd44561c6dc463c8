"""From where a unit's readings must be read again."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.reach import Reach
from pipeline.records import NOWHERE
from pipeline.window import Arrived

N_NEEDED = 5


def arrived(first_offset_of: dict[int, int], n_of: dict[int, int]) -> Arrived:
    rows = sorted(n_of)
    return Arrived(
        np.array(rows, dtype=np.int64),
        np.array([n_of[row] for row in rows], dtype=np.int64),
        np.array([first_offset_of[row] for row in rows], dtype=np.int64),
        np.empty(0, dtype=np.int64),
        np.empty(0, dtype=np.float64),
    )


@given(polls=st.lists(st.dictionaries(st.integers(0, 2), st.integers(1, 9)), max_size=30))
def test_a_unit_has_sent_so_many_readings_since_or_all_it_ever_sent(
    polls: list[dict[int, int]],
) -> None:
    reach = Reach(N_NEEDED)
    sent: dict[int, list[int]] = {0: [], 1: [], 2: []}
    offset = 0
    for poll in polls:
        first: dict[int, int] = {}
        for row, n in sorted(poll.items()):
            first[row] = offset
            sent[row] += range(offset, offset + n)
            offset += n
        reach.extend(arrived(first, poll), n_rows=3)

        for row, offsets in sent.items():
            at = int(reach.offset_U[row])
            n_since = sum(each >= at for each in offsets)
            assert n_since >= min(N_NEEDED, len(offsets))
            assert offsets or at == NOWHERE


def test_it_keeps_up_with_the_stream() -> None:
    reach = Reach(N_NEEDED)
    for offset in range(1_000):
        reach.extend(arrived({0: offset}, {0: 1}), n_rows=1)

    assert 1_000 - 2 * N_NEEDED <= reach.offset_U[0] <= 1_000 - N_NEEDED


def test_a_forgotten_row_has_no_unit_and_a_new_one_begins_there() -> None:
    reach = Reach(N_NEEDED)
    reach.extend(arrived({0: 3, 1: 4}, {0: 1, 1: 1}), n_rows=2)

    reach.forget(np.array([0, 7]))
    assert reach.offset_U[:2].tolist() == [NOWHERE, 4]
    reach.extend(arrived({0: 100}, {0: 1}), n_rows=2)

    assert reach.offset_U[0] == 100
