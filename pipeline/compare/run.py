"""`pipeline compare` from detectors and records to what came of it, and to a page."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline.compare.comparison import Comparison, compare
from pipeline.compare.labels import read_labels
from pipeline.compare.side import Side
from pipeline.compare.source import FileSource, Source
from pipeline.compare.topic import Range, TopicSource, parse_moment
from pipeline.detector.artifact import LoadedDetector, load
from pipeline.errors import InputError
from pipeline.files import check_writable, written_whole
from pipeline.offline import FILE_LIMITS
from pipeline.score import Scorer, choose_device
from pipeline.secured import secured
from pipeline.settings import ReplaySettings
from pipeline.state_size import n_affordable
from pipeline.transport.choose import clients

LEAVE_TIMEOUT_S = 3.0
DEFAULT_LIMIT = 10_000_000
"""Records of a topic: some minutes of work, should its range be large by mistake."""
PICTURES_SHARE = 0.3
"""Of the time, that of reading again for the pictures."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What the user asked for."""

    a: Path
    b: Path
    data: Path | None
    begin: str | None
    end: str | None
    limit: int | None
    labels: Path | None
    page: Path | None


def run(
    asked: Asked,
    settings: ReplaySettings,
    on_progress: Callable[[float], None] = lambda done: None,
) -> Comparison:
    """Compare, and write the page if it is asked for.

    Raises:
        InputError: a detector, the data or an option cannot be used.
        TransportError: Kafka refused, or did not answer in time.
    """
    if (asked.data is None) == (asked.begin is None):
        raise InputError("expected either DATA, a file, or --from, to read the topic")
    if asked.data is not None and asked.end is not None:
        raise InputError("--to: DATA is read whole; it goes with --from")
    if asked.data is not None and asked.limit is not None:
        raise InputError("--limit: DATA is read whole; it goes with --from")
    if asked.page is not None:
        inputs = [asked.a, asked.b, asked.data, asked.labels]
        check_writable(asked.page, [p for p in inputs if p is not None], option="--page")
    loaded = [load(path) for path in (asked.a, asked.b)]
    device = choose_device(settings.device)
    scorers = [Scorer(each.detector, device) for each in loaded]
    labels = None if asked.labels is None else read_labels(asked.labels)
    if asked.data is not None:
        # Whatever a file holds is taken, by `pipeline score` too.
        settings = settings.model_copy(update={"decode": FILE_LIMITS, "max_units": 2**31})

    def sides() -> list[Side]:
        paths = (asked.a, asked.b)
        return [
            Side(str(path), one, scorer, settings)
            for path, one, scorer in zip(paths, loaded, scorers, strict=True)
        ]

    a, b = sides()
    with _source(asked, settings, loaded, max(a.n_needed, b.n_needed)) as source:
        if labels is None and isinstance(source, FileSource):
            labels = source.labelled()
        share = 1.0 if asked.page is None else 1.0 - PICTURES_SHARE
        comparison = compare(a, b, source, labels, lambda done: on_progress(share * done))
        if asked.data is None:
            for letter, side in (("A", a), ("B", b)):
                comparison.notes.extend(_units_note(letter, side, settings.max_state_bytes))
        if asked.page is not None:
            from pipeline.compare.page import render

            content = render(
                comparison,
                sides,
                source,
                lambda done: on_progress(share + PICTURES_SHARE * done),
            )
            with written_whole(asked.page, "the page") as file:
                # A name may hold half a character, which UTF-8 cannot write.
                file.write(content.encode("utf-8", errors="replace").decode("utf-8"))
    return comparison


def _units_note(letter: str, side: Side, max_state_bytes: int) -> list[str]:
    """What a worker's memory makes of these units: here they are all of the topic's, which
    several workers share."""
    n_most = n_affordable(side.loaded, max_state_bytes)
    if side.n_units <= n_most:
        return []
    return [
        f"{letter} has read {side.n_units:,} units. With that detector a worker keeps "
        f"{n_most:,} at most (PIPELINE_MAX_STATE_BYTES), and refuses the others."
    ]


@contextmanager
def _source(
    asked: Asked,
    settings: ReplaySettings,
    loaded: Sequence[LoadedDetector],
    n_needed: int,
) -> Iterator[Source]:
    if asked.data is not None:
        source = FileSource(asked.data)
        for each in loaded:
            source.check(each)
        yield source
        return
    now_s = time.time()
    begin_s = parse_moment(asked.begin or "", now_s)
    end_s = now_s if asked.end is None else parse_moment(asked.end, now_s)
    if begin_s >= end_s:
        raise InputError(
            f"--from {asked.begin} --to {asked.end or 'now'}: expected a time before it"
        )
    kafka = settings.kafka
    client = secured(clients(kafka.client), kafka, reads_committed=True)
    reader = client.reader(
        bootstrap_servers=kafka.bootstrap_servers,
        topic=kafka.readings_topic,
        connect_timeout_s=kafka.connect_timeout_s,
    )
    try:
        range_ = Range(begin_s, end_s, asked.limit or DEFAULT_LIMIT)
        yield TopicSource(reader, kafka.readings_topic, range_, n_needed)
    finally:
        reader.close(LEAVE_TIMEOUT_S)
