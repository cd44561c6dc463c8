"""Work beside the thread that talks to Kafka."""

import gc
import threading

import pytest

from pipeline.side_thread import SideThread
from tests.support import wait_until


def test_work_is_done_beside_whoever_gave_it() -> None:
    beside: SideThread[int] = SideThread("beside")
    may_end = threading.Event()

    future = beside.begin(lambda: threading.get_ident() * may_end.wait(60.0))

    assert not future.done()
    may_end.set()
    assert future.result(60.0) != threading.get_ident()


def test_what_the_work_raises_comes_from_its_future_and_the_next_is_done() -> None:
    beside: SideThread[float] = SideThread("beside")

    failed, done = beside.begin(lambda: 1 / 0), beside.begin(lambda: 1 / 2)

    with pytest.raises(ZeroDivisionError):
        failed.result(60.0)
    assert done.result(60.0) == 0.5


def test_the_thread_ends_with_its_owner() -> None:
    beside: SideThread[None] = SideThread("of-a-short-life")
    assert any(thread.name == "of-a-short-life" for thread in threading.enumerate())

    del beside
    gc.collect()

    wait_until(
        lambda: all(thread.name != "of-a-short-life" for thread in threading.enumerate()),
        "the thread has ended",
    )
