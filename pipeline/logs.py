"""Structured logs on standard error: JSON for machines, text on a terminal."""

import logging
import sys

import structlog


def configure_logs(level: str, log_format: str) -> None:
    """Set up logging, once, for our own lines and for those of the libraries.

    Args:
        level: `debug`, `info`, `warning` or `error`.
        log_format: `json`, `text`, or `auto`: text on a terminal, JSON elsewhere.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    renderer: structlog.typing.Processor
    if as_json:
        renderer = structlog.processors.JSONRenderer()
        shared.append(structlog.processors.format_exc_info)
    else:
        renderer = structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level.upper())
    # The client's own account of every connection is for whoever debugs the client.
    if level != "debug":
        logging.getLogger("kafka").setLevel(logging.ERROR)
        handler.addFilter(_is_news)
    logging.captureWarnings(True)
    logging.getLogger("py.warnings").setLevel(logging.ERROR)


def ignore_client_errors() -> None:
    """From here on connections end on purpose; the client calls some of that an error."""
    logging.getLogger("kafka").setLevel(logging.CRITICAL)


def _is_news(line: logging.LogRecord) -> bool:
    # A topic that its first use creates is an error to the client.
    return "not found in cluster metadata" not in line.getMessage()
