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


def written(program: str) -> str:
    """What a program writes to standard error."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stderr


def logged(log_format: str, process: int | None) -> list[str]:
    """A line of ours and one of a library's, without colours."""
    said = written(LINES.format(log_format=log_format, process=process))
    return re.sub(r"\x1b\[\d*m", "", said).splitlines()


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
    lines = [json.loads(line) for line in written(REPEATED).splitlines()]
    assert sum(line["event"] == "ours" for line in lines) == MAX_LINES + 1
    assert sum(line["event"].startswith("theirs") for line in lines) == MAX_LINES
    assert lines[-1]["event"] == "another of theirs"


LEFT_OUT = """
import logging, structlog
from pipeline.logs import configure_logs, tell_left_out
configure_logs("info", "json")
for n in range(100):
    structlog.get_logger().warning("ours", reason="worn")
    logging.getLogger("library").error(f"theirs {n}")
structlog.get_logger().warning("ours", reason="torn")
tell_left_out()
tell_left_out()
"""


def test_what_was_left_out_is_told_once_of_each_kind_when_the_process_ends() -> None:
    lines = [json.loads(line) for line in written(LEFT_OUT).splitlines()]
    assert [line["reason"] for line in lines if line["event"] == "ours"][-1] == "torn"
    told = [line for line in lines if line["event"] == "lines_left_out"]
    assert [(line["of"], line["reason"], line["n_suppressed"]) for line in told] == [
        ("ours", "worn", 40),
        ("library:7", None, 40),
    ]


OBEYED = "\x1b[31mRED\x1b[0m\x1b]0;pwned\x07 \x9b1m \u202egnp\nforged"
FROM_OUTSIDE = """
import json, logging, structlog
from pipeline.logs import configure_logs
text = json.loads({text!r})
configure_logs("info", {log_format!r})
log = structlog.get_logger()
log.info("opened", unit=text, units=[text], error=ValueError(text))
log.info("opened", unit=text.replace(" ", ""))
logging.getLogger("library").error("it failed: " + text)
try:
    raise ValueError(text)
except ValueError:
    log.exception("failed", unit=text)
    logging.getLogger("library").exception(text)
"""


@pytest.mark.parametrize("log_format", ["text", "json"])
def test_nothing_that_others_send_is_obeyed_by_the_terminal(log_format: str) -> None:
    code = FROM_OUTSIDE.format(text=json.dumps(OBEYED), log_format=log_format)

    said = written(code)

    # Our own colours, which the text has for a person.
    shown = re.sub(r"\x1b\[\d*m", "", said)
    assert "RED" in shown
    assert "Traceback" in shown
    assert all(line.isprintable() for line in shown.splitlines())
    assert "\x1b[31mRED" not in said


def test_the_line_that_says_why_it_ended_stands_in_the_log_of_machines_alone() -> None:
    code = """
import structlog
from pipeline.logs import configure_logs
configure_logs("info", {log_format!r})
structlog.get_logger().error("worker_failed", detail="no Kafka", exit_code=1)
"""

    def log_as(log_format: str) -> str:
        return subprocess.run(
            [sys.executable, "-c", code.format(log_format=log_format)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        ).stderr

    assert json.loads(log_as("json"))["detail"] == "no Kafka"
    assert log_as("text") == ""


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
    said = written(LEAK.format(secret=json.dumps(secret)))

    lines = said.splitlines()
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
    said = written(code)

    assert '"worker_started"' in said
