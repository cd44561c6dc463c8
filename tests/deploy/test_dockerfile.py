"""What the image promises to whoever runs it."""

import os
import re
import subprocess
import sys
import time

import pytest
from prometheus_client import CollectorRegistry

from pipeline.health import Health, HealthServer
from pipeline.settings import HttpSettings
from tests.deploy.files import DOCKERFILE, ROOT, dockerfile_stages, last_instruction

ALLOWED_IN_CONTEXT = {
    line.removeprefix("!")
    for line in (ROOT / ".dockerignore").read_text().splitlines()
    if line.startswith("!")
}


def test_both_stages_use_one_pinned_python() -> None:
    first, last = (stage[0].rest.split()[0] for stage in dockerfile_stages())

    assert first == last
    assert re.fullmatch(r"python:3\.\d+\.\d+-slim-[a-z]+", last)


def test_that_python_is_one_the_package_supports() -> None:
    version = re.match(r"python:3\.(\d+)\.", dockerfile_stages()[-1][0].rest)

    assert version
    assert int(version[1]) >= 11


def test_it_runs_as_a_user_that_is_visibly_not_root() -> None:
    user, _, group = last_instruction("USER").rest.partition(":")

    assert int(user) > 0
    assert int(group) > 0


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD", "HEALTHCHECK"])
def test_no_shell_stands_between_docker_and_python(name: str) -> None:
    assert last_instruction(name).exec_form()


def test_it_is_stopped_by_the_signal_that_the_worker_handles() -> None:
    assert last_instruction("STOPSIGNAL").rest == "SIGTERM"


def test_it_exposes_the_port_of_metrics_and_health() -> None:
    assert last_instruction("EXPOSE").rest == str(HttpSettings().port)


def test_torch_comes_from_the_cpu_index_unless_another_is_asked_for() -> None:
    arguments = [one.rest for one in dockerfile_stages()[0] if one.name == "ARG"]

    defaults = dict(argument.split("=") for argument in arguments)

    assert set(defaults) == {"TORCH_INDEX", "EXTRAS"}
    assert defaults["TORCH_INDEX"].endswith("/whl/cpu")


@pytest.mark.parametrize(
    ("extras", "added"),
    [("", set()), ("otel fast", {"opentelemetry-sdk", "confluent-kafka"})],
)
def test_what_is_installed_is_what_the_package_asks_for_and_the_extras(
    extras: str, added: set[str]
) -> None:
    (script,) = re.findall(r'python -c "(import os, tomllib.*?)" >', DOCKERFILE.read_text())

    asked = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "EXTRAS": extras},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )

    names = {re.split(r"[\[<>=]", line)[0] for line in asked.stdout.splitlines()}
    assert "torch" in names
    assert names & {"opentelemetry-sdk", "confluent-kafka"} == added


def test_all_that_is_copied_exists_and_is_let_into_the_build() -> None:
    copied = {
        source
        for stage in dockerfile_stages()
        for one in stage
        if one.name == "COPY" and "--from=" not in one.rest
        for source in one.rest.split()[:-1]
    }

    assert copied == ALLOWED_IN_CONTEXT
    assert all((ROOT / source).exists() for source in copied)


def test_the_worker_loads_nothing_that_needs_a_folder_to_write_to() -> None:
    code = "import sys, pipeline.run; sys.exit('matplotlib' in sys.modules)"

    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


@pytest.mark.parametrize(
    ("path", "is_stuck", "exit_code"),
    [("/healthz", False, 0), ("/healthz", True, 1), ("/readyz", False, 1)],
)
def test_the_healthcheck_repeats_what_the_worker_says_of_itself(
    path: str, is_stuck: bool, exit_code: int
) -> None:
    health = Health(max_turn_s=60.0, now_s=time.monotonic())
    health.detector_verified()
    last_turn_s = time.monotonic() - (61.0 if is_stuck else 0.0)
    health.turned(n_partitions=0, now_s=last_turn_s)

    with HealthServer("127.0.0.1", 0, CollectorRegistry(), health) as server:
        assert healthcheck(path, server.port) == exit_code


def test_the_healthcheck_fails_when_nobody_answers() -> None:
    health = Health(max_turn_s=60.0, now_s=time.monotonic())
    with HealthServer("127.0.0.1", 0, CollectorRegistry(), health) as server:
        port = server.port

    assert healthcheck("/healthz", port) == 1


def test_an_unhealthy_worker_is_one_that_hangs_not_one_that_waits() -> None:
    assert last_instruction("HEALTHCHECK").exec_form()[-1] == "/healthz"


def healthcheck(path: str, port: int) -> int:
    """Run the image's health check and return its exit code."""
    _, script, *_ = last_instruction("HEALTHCHECK").exec_form()
    copied_from = next(
        one.rest.split()[0]
        for one in dockerfile_stages()[-1]
        if one.name == "COPY" and one.rest.split()[-1] == script
    )
    environment = {**os.environ, "PIPELINE_HTTP__PORT": str(port)}
    # A proxy must not stand in the way either.
    environment["http_proxy"] = "http://127.0.0.1:1"
    done = subprocess.run(
        [sys.executable, ROOT / copied_from, path],
        env=environment,
        capture_output=True,
        timeout=30,
        check=False,
    )
    return done.returncode
