"""A log that does not grow with what is sent to the worker, and says who wrote it."""

import json
import re
import subprocess
import sys

import pytest

from pipeline.log_limit import MAX_LINES

LINES = """
import logging, structlog
from pipeline.logs import configure_logs
configure_logs("info", {log_format!r}, {process})
structlog.get_logger().info("ours")
logging.getLogger("library").error("theirs")
"""


def logged(log_format: str, process: int | None) -> list[str]:
    """A line of ours and one of a library's, without colours."""
    done = subprocess.run(
        [sys.executable, "-c", LINES.format(log_format=log_format, process=process)],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return re.sub(r"\x1b\[\d*m", "", done.stderr).splitlines()


@pytest.mark.parametrize(
    ("log_format", "label"), [("json", '"process": 3'), ("text", "process=3")]
)
def test_every_line_of_one_of_several_processes_has_its_number(
    log_format: str, label: str
) -> None:
    lines = logged(log_format, 3)

    assert len(lines) == 2
    assert all(label in line for line in lines)


def test_a_process_alone_has_no_number() -> None:
    assert not any("process" in line for line in logged("json", None))


REPEATED = """
import logging, structlog
from pipeline.logs import configure_logs
configure_logs("info", "json")
for n in range(100):
    structlog.get_logger().warning("ours", n=n)
    logging.getLogger("library").error(f"theirs {n}")
structlog.get_logger().info("ours")
logging.getLogger("library").error("another of theirs")
"""


def test_a_line_that_repeats_is_logged_so_many_times_a_minute_ours_or_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", REPEATED],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert sum(line["event"] == "ours" for line in lines) == MAX_LINES + 1
    assert sum(line["event"].startswith("theirs") for line in lines) == MAX_LINES
    assert lines[-1]["event"] == "another of theirs"


LEAK = """
import json, logging, sys
from pipeline.logs import configure_logs
secret = json.loads({secret!r})
configure_logs("debug", "json", secrets=[secret])
client = logging.getLogger("kafka.net.connection")
client.debug("Request: %s", secret)
client.debug("Request: auth_bytes=%r", ("\\0alice\\0" + secret).encode())
client.debug("Request: auth_bytes=%r", ("\\0alice\\0" + secret))
logging.getLogger("any").error("it failed", exc_info=ValueError(secret))
"""


@pytest.mark.parametrize("secret", ["hunter2", "h'u\"nt\\er\u00e9%2"])
def test_secrets_are_left_out_of_what_libraries_log(secret: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LEAK.format(secret=json.dumps(secret))],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    lines = done.stderr.splitlines()
    assert len(lines) == 4
    assert all("***" in line for line in lines)
    assert not any("nt" in json.loads(line)["event"] for line in lines)


def test_our_own_lines_may_hold_a_word_that_is_a_password() -> None:
    code = """
import structlog
from pipeline.logs import configure_logs
configure_logs("info", "json", secrets=["worker"])
structlog.get_logger("pipeline").info("worker_started")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert '"worker_started"' in done.stderr
