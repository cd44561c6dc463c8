"""A thread that works beside the one that talks to Kafka, for as long as it takes."""

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")
Task = tuple[Callable[[], T], "Future[T]"]


class SideThread(Generic[T]):
    """Does one piece of work after the other, in the order in which they were given.

    Unlike an executor's, this thread does not keep the process from ending: work that
    hangs, as on a device that stalls, is left where it is. It ends with its owner.
    """

    def __init__(self, name: str) -> None:
        self._tasks: queue.SimpleQueue[Task[T] | None] = queue.SimpleQueue()
        threading.Thread(target=_work, args=(self._tasks,), name=name, daemon=True).start()
        weakref.finalize(self, self._tasks.put, None)

    def begin(self, work: Callable[[], T]) -> "Future[T]":
        """Have `work` done. What it returns or raises comes from the future."""
        future: Future[T] = Future()
        self._tasks.put((work, future))
        return future


def _work(tasks: "queue.SimpleQueue[Task[T] | None]") -> None:
    while (task := tasks.get()) is not None:
        work, future = task
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)
        # Not held while the next is waited for: a batch's arrays are large.
        del task, work, future
