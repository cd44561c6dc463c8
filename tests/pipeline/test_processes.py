"""What each of several processes is told to be, and what is said of how they end."""

import subprocess
import sys

import pytest

from pipeline.configure import read_settings
from pipeline.errors import InputError
from pipeline.processes import settings_of
from pipeline.settings import Settings
from tests.processes import command


def settings(**overrides: object) -> Settings:
    dotted = {name.replace("__", "."): value for name, value in overrides.items()}
    return read_settings(Settings, {"detector": "/d", "processes": 4, **dotted})


@pytest.mark.parametrize("number", ["0", "65", "two"])
def test_there_are_from_1_to_64_processes(number: str) -> None:
    with pytest.raises(InputError, match="PIPELINE_PROCESSES"):
        settings(processes=number)


def test_each_works_alone_as_the_settings_say() -> None:
    given = settings(kafka__group_id="pumps", device="cpu")

    own = settings_of(given, 0)

    assert (own.processes, own.kafka.group_id, own.device) == (1, "pumps", "cpu")


def test_each_has_a_port_of_its_own_that_nobody_else_reaches() -> None:
    own = settings_of(settings(http__host="0.0.0.0", http__port=9100), 0)

    assert (own.http.host, own.http.port) == ("127.0.0.1", 0)


def test_static_members_have_a_name_each() -> None:
    given = settings(kafka__group_instance_id="line-2")

    assert settings_of(given, 0).kafka.group_instance_id == "line-2-0"
    assert settings_of(given, 3).kafka.group_instance_id == "line-2-3"
    assert settings_of(settings(), 0).kafka.group_instance_id is None


def test_together_they_take_no_more_memory_than_the_settings_say() -> None:
    own = settings_of(settings(max_state_bytes=2**30), 0)

    assert own.max_state_bytes == 2**28


def test_what_a_process_is_started_with_is_no_command_for_people() -> None:
    done = command("pipeline", "process")

    assert done.returncode == 2
    assert done.stderr == "error: only `pipeline run --processes` starts this\n"


def test_the_one_that_starts_them_needs_neither_torch_nor_kafka() -> None:
    listing = "import sys, pipeline.processes; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", listing],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    assert {"torch", "kafka"}.isdisjoint(done.stdout.split())


@pytest.mark.parametrize("number", ["0", "65"])
def test_a_wrong_number_of_processes_is_one_line_and_exit_code_2(number: str) -> None:
    done = command("pipeline", "run", "--set", "detector=/d", "--processes", number)

    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: PIPELINE_PROCESSES: ")
