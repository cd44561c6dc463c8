"""Structured logs on standard error: JSON for machines, text on a terminal."""

import json
import logging
import math
import sys
from collections.abc import Collection
from typing import Any

import structlog

from pipeline.log_limit import (
    Kind,
    RepeatLimit,
    limiting_others,
    limiting_ours,
    with_suppressed,
)
from pipeline.plain_text import plain, plain_lines

log = structlog.get_logger()

SAID_BY_THE_COMMAND = "worker_failed"
"""Its last line, `error: ...`, says the same. As text it would stand there twice."""
SEVERAL_LINES = frozenset({"exception", "stack"})
"""Fields that are shown as they are, below their line."""

_limit: RepeatLimit[Kind] = RepeatLimit()


def configure_logs(
    level: str,
    log_format: str,
    process: int | None = None,
    secrets: Collection[str] = (),
) -> None:
    """Set up logging, once, for our own lines and for those of the libraries.

    Of lines that repeat, some are left out: see `RepeatLimit`.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        log_format: `json`, `text`, or `auto`: text on a terminal, JSON elsewhere.
        process: the number that tells this process's lines from those of others.
        secrets: what no line may hold.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Of a traceback in colours the parts could not be told from what was sent to us.
        structlog.processors.format_exc_info,
    ]
    if process is not None:
        shared.append(_numbered(process))
    rendering: list[structlog.typing.Processor]
    if as_json:
        rendering = [structlog.processors.JSONRenderer()]
    else:
        trace = structlog.dev.plain_traceback
        rendering = [_shown, structlog.dev.ConsoleRenderer(exception_formatter=trace)]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *([] if as_json else [_less_what_the_command_says]),
            # Before anything is made of a line that is then left out.
            limiting_ours(_limit),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        _Formatter(
            secrets,
            foreign_pre_chain=[*shared, with_suppressed],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *rendering,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    handler.addFilter(_is_news)
    handler.addFilter(limiting_others(_limit))
    ignore_client_errors()
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)


def tell_left_out(now_s: float = math.inf) -> None:
    """Log of each kind of line how many were left out, if its period is over by then and
    no line of it has said so.

    Args:
        now_s: monotonic clock; infinity, when the process ends, is for all kinds.
    """
    for kind, n_lines in _limit.take_left_out(now_s):
        log.warning("lines_left_out", of=kind.of, reason=kind.reason, n_suppressed=n_lines)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Leaves secrets out of what the client libraries log.

    At level debug kafka-python logs each request whole, that with the password included.
    Our own lines are left alone: a password may be a word of theirs.
    """

    def __init__(self, secrets: Collection[str], **options: Any) -> None:
        super().__init__(**options)
        # As a line may hold it: as it is, or as Python or JSON writes it.
        written = {
            form
            for secret in secrets
            for text in (
                *(secret, plain(secret)),
                *(repr(secret)[1:-1], repr(secret.encode())[2:-1]),
            )
            for form in (text, json.dumps(text)[1:-1], json.dumps(repr(text)[1:-1])[1:-1])
        }
        self._secrets = sorted(written - {""}, key=len, reverse=True)

    def format(self, record: logging.LogRecord) -> str:
        line = super().format(record)
        if record.name.partition(".")[0] == "kafka" or record.exc_info:
            for secret in self._secrets:
                line = line.replace(secret, "***")
        return line


def _numbered(process: int) -> structlog.typing.Processor:
    def number(
        logger: object, method: str, line: structlog.typing.EventDict
    ) -> structlog.typing.EventDict:
        return {**line, "process": process}

    return number


def _shown(
    logger: object, method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    """The line, without what a terminal would obey: others choose the units' names."""
    return {name: _shown_value(name, value) for name, value in line.items()}


def _shown_value(name: str, value: object) -> object:
    if isinstance(value, str):
        return plain_lines(value) if name in SEVERAL_LINES else plain(value)
    written = repr(value)
    return value if written.isprintable() else plain(written)


def _less_what_the_command_says(
    logger: object, method: str, line: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    if line.get("event") == SAID_BY_THE_COMMAND:
        raise structlog.DropEvent
    return line


def ignore_client_errors() -> None:
    """While connecting and leaving: what fails there is raised, and the client's own lines
    would bury it."""
    _set_client_level(logging.CRITICAL)


def show_client_errors() -> None:
    """While working: what the client mends by itself is seen nowhere else."""
    _set_client_level(logging.ERROR)


def _set_client_level(level: int) -> None:
    # Its account of every connection is for whoever debugs, and then all of it.
    is_debugging = logging.getLogger().level <= logging.DEBUG
    logging.getLogger("kafka").setLevel(logging.DEBUG if is_debugging else level)


def _is_news(line: logging.LogRecord) -> bool:
    # A topic that its first use creates is an error to the client.
    return "not found in cluster metadata" not in line.getMessage()
