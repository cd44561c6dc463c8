"""Looks whether a detector's folder holds another detector, beside the loop."""

from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeAlias, TypeVar

from pipeline.detector.artifact import LoadedDetector, load
from pipeline.detector.files import NAMES
from pipeline.errors import PipelineError, one_line
from pipeline.side_thread import SideThread

T = TypeVar("T")
Seen: TypeAlias = tuple[tuple[int, ...] | None, ...]
"""Of each file: which one it is, its size, and when it was written. None if missing."""


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
        loaded = load(self._folder)
        self._digest = loaded.digest
        return self._build(loaded)

    def look(self, now_s: float) -> T | Refused | AsBefore | None:
        """What became of the last look, once. Never waits.

        Another detector is given out once, and is in use from then on. What was refused is
        looked at again when it has changed.

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
            self._looking = self._beside.begin(self._look)
        return None

    def _look(self) -> T | Refused | AsBefore | None:
        before, self._last = self._last, self._seen()
        # What does not stay as it is may still be being written.
        if self._last != before or self._last == self._settled:
            return None
        self._settled = self._last
        try:
            loaded = load(self._folder)
            if loaded.digest == self._digest:
                return AsBefore()
            built = self._build(loaded)
        except (PipelineError, RuntimeError, MemoryError) as error:
            # Torch's too: the device may have no room for it.
            return Refused(one_line(error))
        self._digest = loaded.digest
        return built

    def _seen(self) -> Seen:
        return tuple(_status(self._folder / name) for name in NAMES)


def _status(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
