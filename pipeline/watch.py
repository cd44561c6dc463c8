"""Looks whether a detector's folder holds another detector, beside the loop."""

import math
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from pipeline.detector.artifact import LoadedDetector, load
from pipeline.detector.files import NAMES
from pipeline.errors import DetectorError, PipelineError, one_line
from pipeline.side_thread import SideThread

T = TypeVar("T")
MAX_PAUSE_S = 300.0
"""Between two attempts at what may be refused for a reason that passes."""
Seen: TypeAlias = tuple[tuple[int, ...] | None, ...]
"""Of each file: which one it is, its size, and when it was written or its permissions were
changed. None if missing."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The folder holds something that must not be used."""

    reason: str


@dataclass(frozen=True, slots=True)
class AsBefore:
    """The folder has changed, and holds the detector in use."""


class DetectorWatch(Generic[T]):
    """Looks after one folder, in a thread of its own: loading takes seconds, and a file
    server may take longer. Owns what was seen there, and the digest in use."""

    def __init__(
        self, folder: Path, build: Callable[[LoadedDetector], T], every_s: float
    ) -> None:
        """Args:
        folder: a detector's. A link, the folder itself or its files may be replaced.
        build: makes of a detector what is given out.
        every_s: between two looks; 0 never looks.
        """
        self._folder = folder
        self._build = build
        self._every_s = every_s
        self._looked_at_s = 0.0
        self._digest = ""
        self._settled: Seen = ()
        self._last: Seen = ()
        self._pause_s = 0.0
        self._again_at_s = math.inf
        self._beside: SideThread[T | Refused | AsBefore | None] = SideThread("watch")
        self._looking: Future[T | Refused | AsBefore | None] | None = None

    def first(self, now_s: float) -> T:
        """What is made of the detector that is there now; the first look comes later.

        Args:
            now_s: monotonic clock.

        Raises:
            DetectorError: there is none that can be used.
        """
        self._looked_at_s = now_s
        # Before it is loaded: what changes meanwhile is seen by the first look.
        self._settled = self._last = self._seen()
        self._pause_s = self._every_s
        try:
            loaded = load(self._folder)
            built = self._build(loaded)
        except Exception as error:
            self._try_again_maybe(error, now_s)
            raise
        self._digest = loaded.digest
        return built

    def decline(self, digest: str) -> None:
        """What was given out last is not taken: this one stays in use; empty: none."""
        self._digest = digest

    def look(self, now_s: float) -> T | Refused | AsBefore | None:
        """What became of the last look, once. Never waits.

        Another detector is given out once, and is in use from then on, if not declined.
        What was refused is told once. It is tried again when it has changed, and every now
        and then where the reason may pass by itself.

        Args:
            now_s: monotonic clock.
        """
        if self._looking is not None:
            if not self._looking.done():
                return None
            looking, self._looking = self._looking, None
            return looking.result()
        if self._every_s and now_s - self._looked_at_s >= self._every_s:
            self._looked_at_s = now_s
            self._looking = self._beside.begin(partial(self._look, now_s))
        return None

    def _look(self, now_s: float) -> T | Refused | AsBefore | None:
        before, self._last = self._last, self._seen()
        has_changed = self._last != self._settled
        # What does not stay as it is may still be being written.
        if self._last != before or not (has_changed or now_s >= self._again_at_s):
            return None
        if has_changed:
            self._pause_s = self._every_s
        self._settled, self._again_at_s = self._last, math.inf
        try:
            loaded = load(self._folder)
            if loaded.digest == self._digest:
                return AsBefore()
            built = self._build(loaded)
        except Exception as error:
            # Whatever a folder holds, the detector in use goes on.
            self._try_again_maybe(error, now_s)
            return Refused(reason(error)) if has_changed else None
        self._digest = loaded.digest
        return built

    def _try_again_maybe(self, error: Exception, now_s: float) -> None:
        """Where it may help: memory or files may be short for a moment."""
        if self._every_s and may_pass(error):
            self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S)
            self._again_at_s = now_s + self._pause_s

    def _seen(self) -> Seen:
        return tuple(_status(self._folder / name) for name in NAMES)


def _status(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def may_pass(error: Exception) -> bool:
    """Whether what could not be used now may be of use later, though it stays as it is."""
    if isinstance(error, DetectorError):
        return error.is_passing
    return not isinstance(error, PipelineError)


def reason(error: Exception) -> str:
    """Why, in one line; of an error that nobody foresaw also what kind it is."""
    text = one_line(error)
    return text if isinstance(error, PipelineError) else f"{type(error).__name__}: {text}"
