"""The chart's workers, held against the code that they run."""

import http.client
import re
import time
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import pipeline.processes
from pipeline import signals
from pipeline.configure import documented, read_settings
from pipeline.health import Health, HealthServer
from pipeline.run import LEAVE_TIMEOUT_S
from pipeline.settings import HttpSettings, Settings
from tests.deploy.files import last_instruction
from tests.deploy.helm import (
    MINIMAL,
    MONITORING,
    MUTUAL_TLS,
    SASL,
    VALUE_SETS,
    Manifest,
    Values,
    container,
    containers,
    environment,
    merged,
    one,
    pods,
    worker,
)
from tests.deploy.test_names import PROGRAMS
from trainer.settings import TrainerSettings

every_set = pytest.mark.parametrize("values", VALUE_SETS.values(), ids=VALUE_SETS)

KNOWN = {name for s in (Settings, TrainerSettings) for name, *_ in documented(s)}


def mounted(manifest: Manifest, folder: Path) -> dict[str, str]:
    """The worker's variables, with its Secrets as files under `folder`."""
    mounts = {m["name"]: m["mountPath"] for m in container(manifest)["volumeMounts"]}
    for volume in manifest["spec"]["template"]["spec"]["volumes"]:
        sources = [one["secret"] for one in volume.get("projected", {}).get("sources", [])]
        sources += [volume["secret"]] if "secret" in volume else []
        for item in (item for source in sources for item in source["items"]):
            path = folder / mounts[volume["name"]].removeprefix("/") / item["path"]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{item['key']} of the Secret\n")
    variables = environment(manifest).items()
    return {k: re.sub("^/etc/", f"{folder}/etc/", v) for k, v in variables}


def settings_of(values: Values, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the worker makes of all that the chart gives it."""
    for name, value in mounted(worker(values), folder).items():
        monkeypatch.setenv(name, value)
    secrets = folder / "etc" / "pipeline" / "secrets"
    return read_settings(Settings, {}, secrets_dir=secrets if secrets.exists() else None)


@every_set
def test_every_variable_is_a_setting(values: Values) -> None:
    names = [one["name"] for c in containers(values) for one in c.get("env", [])]

    ours = {name for name in names if name.startswith(("PIPELINE_", "TRAINER_"))}
    assert ours
    assert ours <= KNOWN


@every_set
def test_no_variable_is_given_twice(values: Values) -> None:
    for one_container in containers(values):
        names = [variable["name"] for variable in one_container.get("env", [])]
        assert len(names) == len(set(names))


@every_set
def test_the_worker_takes_what_it_is_given(
    values: Values, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = settings_of(values, tmp_path, monkeypatch)

    assert settings.detector == Path("/detectors/current")
    assert settings.kafka.bootstrap_servers == "kafka:9092"
    assert settings.kafka.group_id == "line-1"
    assert settings.http.port == 9100


def test_user_name_and_password_reach_it_by_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = settings_of(SASL, tmp_path, monkeypatch).kafka

    assert kafka.protocol == "SASL_SSL"
    assert kafka.sasl.username == "username of the Secret"
    assert kafka.sasl.password is not None
    assert kafka.sasl.password.get_secret_value() == "password of the Secret"
    assert "PIPELINE_KAFKA__SASL__PASSWORD" not in environment(worker(SASL))


def test_certificates_and_the_keys_password_reach_it_by_files_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kafka = settings_of(MUTUAL_TLS, tmp_path, monkeypatch).kafka

    assert kafka.protocol == "SSL"
    assert kafka.tls.ca_file is not None
    assert kafka.tls.ca_file.read_text() == "ca.crt of the Secret\n"
    assert kafka.tls.key_password is not None
    assert kafka.tls.key_password.get_secret_value() == "tls.password of the Secret"


def test_large_numbers_are_written_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = {
        "settings": {
            "PIPELINE_KAFKA__MAX_REPLAY_RECORDS": 50_000_000,
            "PIPELINE_REJECTS__MAX_FRACTION": 0.25,
            "PIPELINE_ALERT__EMBEDDING": True,
        }
    }
    assert environment(worker(values))["PIPELINE_KAFKA__MAX_REPLAY_RECORDS"] == "50000000"

    settings = settings_of(values, tmp_path, monkeypatch)

    assert settings.rejects.max_fraction == 0.25
    assert settings.alert.embedding is True


@every_set
def test_its_command_line_parses(values: Values) -> None:
    image = last_instruction("ENTRYPOINT").exec_form()
    for one_container in containers(values):
        if "command" not in one_container:
            program, name, *arguments = image + list(one_container["args"])
            group = vars(PROGRAMS[program])["commands"]
            # Raises for an argument that is missing or an option that does not exist.
            group[name].make_context(name, list(arguments))


def test_probes_and_prometheus_ask_for_pages_that_there_are() -> None:
    probes = [container(worker({}))[f"{kind}Probe"] for kind in ("startup", "liveness")]
    ready = container(worker({}))["readinessProbe"]
    (endpoint,) = one("ServiceMonitor", MONITORING)["spec"]["endpoints"]

    assert {probe["httpGet"]["path"] for probe in probes} == {"/healthz"}
    assert ready["httpGet"]["path"] == "/readyz"
    health = Health(60.0, time.monotonic())
    with HealthServer("127.0.0.1", 0, CollectorRegistry(), health) as server:
        for path in ("/healthz", "/readyz", endpoint["path"]):
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
            connection.request("GET", path)
            assert connection.getresponse().status in (200, 503)
            connection.close()


@every_set
def test_its_port_is_that_of_the_image_everywhere(values: Values) -> None:
    (port,) = container(worker(values))["ports"]
    (service,) = one("Service", values)["spec"]["ports"]

    assert port["containerPort"] == HttpSettings().port
    assert str(port["containerPort"]) == last_instruction("EXPOSE").rest
    assert service["port"] == port["containerPort"]
    assert service["targetPort"] == port["name"]


def test_a_start_may_take_as_long_as_kafka_may_take_to_answer() -> None:
    probe = container(worker({}))["startupProbe"]

    allowed_s = probe["periodSeconds"] * probe["failureThreshold"]
    assert allowed_s > 2 * Settings(detector=Path()).kafka.connect_timeout_s


def test_a_stopping_worker_is_given_the_time_it_takes() -> None:
    grace_s = worker({})["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]

    assert grace_s > 10
    assert grace_s > signals.STOP_TIMEOUT_S + 2 * LEAVE_TIMEOUT_S
    assert grace_s > pipeline.processes.STOP_TIMEOUT_S


@every_set
def test_no_container_can_do_more_than_it_must(values: Values) -> None:
    for one_container in containers(values):
        assert one_container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        assert one_container["resources"]["limits"]["memory"]


@every_set
def test_every_pod_runs_as_the_images_user_without_a_token(values: Values) -> None:
    user, _, group = last_instruction("USER").rest.partition(":")
    for pod in pods(values):
        context = pod["spec"]["securityContext"]
        assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))
        assert context["fsGroup"] == int(group)
        assert context["runAsNonRoot"] is True
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["spec"]["automountServiceAccountToken"] is False
        # Kubernetes' own variables for a Service would look like settings of ours.
        assert pod["spec"]["enableServiceLinks"] is False


@every_set
def test_it_can_write_to_nothing_but_tmp(values: Values) -> None:
    writable = [
        mount["mountPath"]
        for mount in container(worker(values))["volumeMounts"]
        if not mount.get("readOnly")
    ]

    assert writable == ["/tmp"]


@pytest.mark.parametrize(
    ("values", "gibibytes"),
    [
        ({}, 2),
        ({"shadow": "detector-1"}, 3),
        ({"processes": 2}, 3),
        ({"processes": 2, "shadow": "detector-1"}, 5),
    ],
)
def test_what_it_may_remember_of_units_leaves_room_for_every_detector(
    values: Values, gibibytes: int
) -> None:
    state_bytes = int(environment(worker(values))["PIPELINE_MAX_STATE_BYTES"])
    limit = container(worker(values))["resources"]["limits"]["memory"]
    n_detectors = values.get("processes", 1) * (2 if "shadow" in values else 1)

    # Torch and all else takes up to two thirds of a GiB.
    assert limit == f"{gibibytes}Gi"
    assert state_bytes + n_detectors * 2 * 2**30 / 3 < gibibytes * 2**30


def test_a_memory_limit_of_ones_own_is_kept() -> None:
    values = {"resources": {"limits": {"memory": "7Gi"}}, "shadow": "detector-1"}

    assert container(worker(values))["resources"]["limits"] == {"memory": "7Gi"}


@pytest.mark.parametrize("kind", ["Service", "PodDisruptionBudget"])
def test_what_is_for_workers_is_for_workers_alone(kind: str) -> None:
    values = VALUE_SETS["everything on"]
    selector = one(kind, values)["spec"]["selector"]
    selected = selector.get("matchLabels", selector).items()

    components = [
        pod["metadata"]["labels"]["app.kubernetes.io/component"]
        for pod in pods(values)
        if selected <= pod["metadata"]["labels"].items()
    ]

    assert components == ["worker"]


def test_a_worker_that_is_not_ready_is_scraped_as_well() -> None:
    assert one("Service", {})["spec"]["publishNotReadyAddresses"] is True


def test_releases_share_no_group_unless_they_are_told_to() -> None:
    assert environment(worker({}))["PIPELINE_KAFKA__GROUP_ID"] == "line-1"
    shared = merged(MINIMAL, {"kafka": {"groupId": "pumps"}})
    assert environment(worker(shared))["PIPELINE_KAFKA__GROUP_ID"] == "pumps"
