"""What `docker compose up` promises: it starts from nothing, and exposes nothing."""

import math
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.drift.sensors import MIN_PSI_READINGS
from pipeline.kafka_runtime import KAFKA_COORDINATES
from pipeline.registry.folder import CURRENT
from pipeline.run import LEAVE_TIMEOUT_S
from pipeline.settings import HttpSettings
from tests.deploy.files import (
    COMPOSE,
    DOCKERFILE,
    GRAFANA,
    PROMETHEUS,
    ROOT,
    RULES,
    compose,
    dockerfile_stages,
    last_instruction,
    read_yaml,
    services,
)

OURS = ("worker", "trainer", "replayer")

# They do what they are for, and end.
ONE_SHOT = ("topics", "trainer")

# Its image writes its configuration and its logs into its own folders.
WRITES_TO_ITS_IMAGE = ("kafka",)


@pytest.fixture(params=services())
def service(request: pytest.FixtureRequest) -> dict[str, Any]:
    return services()[request.param]


def mounts() -> Iterator[tuple[str, str, str]]:
    """Every mount: service, source, target with options."""
    for name, service in services().items():
        for volume in service.get("volumes", []):
            source, _, target = volume.partition(":")
            yield name, source, target


def test_every_image_is_pinned_to_one_release(service: dict[str, Any]) -> None:
    if "build" not in service:
        assert re.fullmatch(r"[\w/]+:v?\d+\.\d+\.\d+", service["image"])


@pytest.mark.parametrize("name", OURS)
def test_our_image_is_built_here_and_never_fetched(name: str) -> None:
    service = services()[name]

    assert ROOT / service["build"]["dockerfile"] == DOCKERFILE
    assert service["pull_policy"] == "build"


@pytest.mark.parametrize("name", OURS)
def test_compose_builds_with_the_arguments_of_the_dockerfile(name: str) -> None:
    arguments = {one.rest for one in dockerfile_stages()[0] if one.name == "ARG"}
    given = services()[name]["build"]["args"]

    assert given
    assert {f"{name}={value}" for name, value in given.items()} <= arguments


@pytest.mark.parametrize("name", ["kafka", "topics"])
def test_kafka_is_the_version_that_the_tests_run_on(name: str) -> None:
    version = re.search(r"kafka_[\d.]+:([\d.]+)", KAFKA_COORDINATES)

    assert version
    assert services()[name]["image"] == f"apache/kafka:{version[1]}"


def test_everything_is_there() -> None:
    assert services().keys() == {
        "kafka",
        "topics",
        "trainer",
        "worker",
        "replayer",
        "prometheus",
        "alertmanager",
        "grafana",
    }


@pytest.mark.parametrize("name", sorted(set(services()) - set(ONE_SHOT)))
def test_what_runs_for_long_says_how_it_is_and_comes_back(name: str) -> None:
    service = services()[name]

    assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
    assert service["healthcheck"]["interval"]
    assert service["restart"] == "unless-stopped"


@pytest.mark.parametrize("name", ONE_SHOT)
def test_what_ends_by_itself_has_no_health_and_is_not_started_again(name: str) -> None:
    service = services()[name]

    assert service["healthcheck"] == {"disable": True}
    assert service["restart"] == "no"


def test_the_replayer_is_well_while_it_is_connected_to_kafka() -> None:
    replayer = services()["replayer"]
    _, port = replayer["environment"]["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"].split(":")

    # A line of /proc/net/tcp: the peer's address and port, and 01 for established.
    assert replayer["healthcheck"]["test"][3] == f":{int(port):04X} 01 "


def test_what_is_replayed_is_there() -> None:
    replayer = services()["replayer"]
    (source,) = (s for name, s, _ in mounts() if name == "replayer")

    assert (ROOT / source / replayer["command"][1].removeprefix("/history/")).is_file()


def test_every_port_is_bound_to_loopback(service: dict[str, Any]) -> None:
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:")


def test_no_service_can_gain_privileges(service: dict[str, Any]) -> None:
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


@pytest.mark.parametrize("name", sorted(set(services()) - set(WRITES_TO_ITS_IMAGE)))
def test_no_service_writes_outside_its_volumes(name: str) -> None:
    assert services()[name]["read_only"] is True


def test_no_service_can_fill_memory_or_disk(service: dict[str, Any]) -> None:
    assert service["mem_limit"]
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}


@pytest.mark.parametrize("name", OURS)
def test_we_run_as_the_images_own_user_unless_told(name: str) -> None:
    assert services()[name]["user"] == last_instruction("USER").rest
    assert compose({"UID_GID": "1000:1000"})["services"][name]["user"] == "1000:1000"


def head() -> str:
    """What the file says of itself, without the marks of a comment."""
    comment, _, _ = COMPOSE.read_text().partition("\nname:")
    return re.sub(r"^# ?", "", comment, flags=re.M)


def test_every_variable_is_explained_at_the_head() -> None:
    _, _, table = head().partition("Variables,")
    explained = set(re.findall(r"^  ([A-Z][A-Z_, ]*?)(?:  |$)", table, re.M))

    used = set(re.findall(r"\$\{(\w+)", COMPOSE.read_text()))
    assert {name for line in explained for name in line.split(", ")} == used


def test_a_setting_of_the_worker_is_added_in_a_file_that_need_not_exist() -> None:
    (file,) = services()["worker"]["env_file"]

    assert file == {"path": ".env.worker", "required": False}
    assert file["path"] in head()
    # It is of one machine, and may hold passwords.
    assert {file["path"], ".env"} <= set((ROOT / ".gitignore").read_text().split())
    assert not (ROOT / file["path"]).exists()


@pytest.mark.parametrize(
    ("variable", "value", "key"),
    [("WORKERS", "3", "scale"), ("WORKER_MEMORY", "4g", "mem_limit")],
)
def test_more_workers_and_more_memory_outlast_the_next_up(
    variable: str, value: str, key: str
) -> None:
    assert str(compose({variable: value})["services"]["worker"][key]) == value


def test_the_brokers_memory_is_not_that_of_the_tools_beside_it() -> None:
    kafka = services()["kafka"]
    _, broker, _ = kafka["command"]
    sizes_mb = re.findall(
        r"-Xmx(\d+)m", f"{broker} {kafka['environment']['KAFKA_HEAP_OPTS']}"
    )

    assert kafka["mem_limit"] == "1g"
    assert [int(size) for size in sizes_mb] == [512, 128]


def test_alerts_link_to_grafanas_port_and_whoever_changes_it_is_told() -> None:
    _, _, about = head().partition("GRAFANA_PORT ")
    (port,) = re.findall(r"http://127.0.0.1:(\d+)/public", RULES.read_text())[:1]

    assert services()["grafana"]["ports"] == [f"127.0.0.1:{port}:{port}"]
    assert f"else {port}, to which alerts link" in about
    assert "deploy/prometheus/rules.yml" in about


def test_it_says_when_drift_is_first_shown() -> None:
    command = services()["replayer"]["command"]
    readings_per_s = float(command[command.index("--readings-per-s") + 1])
    minutes = math.ceil(MIN_PSI_READINGS / readings_per_s / 60)

    said = " ".join(head().split())
    assert f"for the first {minutes} minutes, {MIN_PSI_READINGS:,} readings" in said


def test_the_worker_cannot_change_the_detector() -> None:
    (mount,) = (mount for mount in mounts() if mount[0] == "worker")

    assert mount[2] == "/detectors:ro"


def test_a_stopping_worker_is_given_the_time_it_takes() -> None:
    grace_s = int(services()["worker"]["stop_grace_period"].removesuffix("s"))

    assert grace_s >= 10
    # The group and the producer are left one after the other.
    assert grace_s >= 2 * LEAVE_TIMEOUT_S


def test_what_is_waited_for_comes_about() -> None:
    by_name = services()
    for service in by_name.values():
        for name, wait in service.get("depends_on", {}).items():
            if wait["condition"] == "service_healthy":
                assert "test" in by_name[name]["healthcheck"]
            else:
                assert wait["condition"] == "service_completed_successfully"
                assert by_name[name]["restart"] == "no"


def test_the_worker_waits_for_its_topics_and_a_detector() -> None:
    assert services()["worker"]["depends_on"].keys() == {"topics", "trainer"}
    assert services()["topics"]["depends_on"].keys() == {"kafka"}


def trainer_script() -> str:
    (script,) = services()["trainer"]["command"]
    return str(script)


def test_the_worker_reads_what_the_trainer_takes_into_use() -> None:
    (out,) = re.findall(r"--out (\S+)", trainer_script())
    folder, _, name = out.rpartition("/")

    assert f"pipeline promote {folder} {name}" in trainer_script()
    assert services()["worker"]["environment"]["PIPELINE_DETECTOR"] == f"{folder}/{CURRENT}"
    assert ("trainer", "detectors", folder) in mounts()
    assert ("worker", "detectors", f"{folder}:ro") in mounts()


def test_the_trainer_leaves_a_detector_that_is_there_alone() -> None:
    first, *_ = trainer_script().splitlines()

    assert first == 'if test -f "/detectors/$$DETECTOR_NAME/manifest.json"; then exit; fi'
    assert services()["trainer"]["environment"]["DETECTOR_NAME"] == CURRENT


def test_a_trainer_that_may_not_write_says_what_to_do(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    script = trainer_script().replace("/detectors", str(tmp_path)).replace("$$", "$")

    done = subprocess.run(
        ["sh", "-ec", script],
        env={"PATH": os.environ["PATH"], "DETECTOR_NAME": CURRENT},
        # Root may write everywhere.
        user=65534 if os.geteuid() == 0 else None,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 2
    assert re.match(r"error: \S+: user \d+ may not write there; .* UID_GID", done.stderr)


def test_no_shadow_is_scored_unless_it_is_asked_for() -> None:
    assert not services()["worker"]["environment"]["PIPELINE_SHADOW"]


def test_the_bundled_history_is_where_the_trainer_looks() -> None:
    source = next(s for name, s, _ in mounts() if name == "trainer")
    (file,) = re.findall(r"fit /history/(\S+)", trainer_script())

    assert (ROOT / source / file).is_file()


def test_every_mounted_path_and_volume_exists() -> None:
    for _, source, _ in mounts():
        if source.startswith("."):
            assert (ROOT / source).exists()
        else:
            assert source in compose()["volumes"]


def test_the_worker_talks_to_a_listener_that_kafka_advertises() -> None:
    advertised = services()["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    asked = services()["worker"]["environment"]["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]

    assert f"INTERNAL://{asked}" in advertised.split(",")
    assert "HOST://127.0.0.1:9092" in advertised.split(",")


def test_the_workers_port_is_its_default_everywhere() -> None:
    (scrape,) = read_yaml(PROMETHEUS)["scrape_configs"]
    (names,) = scrape["dns_sd_configs"]

    assert services()["worker"]["ports"] == [f"127.0.0.1:9100:{HttpSettings().port}"]
    assert names["port"] == HttpSettings().port
    assert set(names["names"]) <= set(services())


def test_nothing_that_could_be_a_secret_is_written_down() -> None:
    values = services()["grafana"]["environment"]

    assert not values["GF_SECURITY_ADMIN_PASSWORD"]
    assert "disable_initial_admin_creation = true" in grafana_ini()


def test_no_variable_of_compose_could_be_taken_for_a_setting() -> None:
    assert not re.findall(r"\$\{?(?:PIPELINE|TRAINER)_", COMPOSE.read_text())


def grafana_ini() -> str:
    return (GRAFANA / "grafana.ini").read_text()
