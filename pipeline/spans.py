"""What the worker tells of where a batch's time goes: to nobody, unless traces are on."""

from contextlib import AbstractContextManager
from typing import Protocol

from pipeline.turn import Taken, Turn

TimedStep = AbstractContextManager[object]


class Spans(Protocol):
    """Told of each batch and its steps. Never raises. See `otel.BatchSpans`."""

    def timed(self, step: str, timer: TimedStep) -> TimedStep:
        """`timer`, or one that takes note of this step as well."""

    def begin(self, taken: Taken) -> None:
        """This batch is taken up. What was polled and decoded last is a part of it."""

    def end(self, turn: Turn, device: str, digest: str) -> None:
        """All of the batch that was begun is done, by this device and detector."""

    def close(self) -> None:
        """Nothing more is told. Returns within a second."""


class NoSpans:
    """Nobody is told."""

    def timed(self, step: str, timer: TimedStep) -> TimedStep:
        return timer

    def begin(self, taken: Taken) -> None:
        """See `Spans`."""

    def end(self, turn: Turn, device: str, digest: str) -> None:
        """See `Spans`."""

    def close(self) -> None:
        """See `Spans`."""
