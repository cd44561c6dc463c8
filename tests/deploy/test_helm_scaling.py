"""How many workers the chart has run, where, and as which members of the group."""

from typing import Any

import pytest

from tests.deploy.helm import (
    MUTUAL_TLS,
    SASL,
    VALUE_SETS,
    Values,
    container,
    environment,
    kinds,
    merged,
    one,
    worker,
)


@pytest.mark.parametrize(
    ("values", "max_surge"),
    [
        ({"replicas": 2}, 1),
        ({"replicas": 6}, 0),
        ({"replicas": 2, "processes": 3}, 0),
        ({"keda": {"enabled": True}}, 0),
        ({"gpu": {"enabled": True, "tag": "cuda"}}, 0),
    ],
)
def test_an_update_starts_no_worker_that_could_not_become_ready(
    values: Values, max_surge: int
) -> None:
    update = worker(values)["spec"]["strategy"]["rollingUpdate"]

    assert update == {"maxSurge": max_surge, "maxUnavailable": 1 - max_surge}


def test_static_members_are_called_as_their_pods() -> None:
    static = worker({"staticMembership": True})
    variables = {v["name"]: v for v in container(static)["env"]}

    assert static["kind"] == "StatefulSet"
    assert static["spec"]["serviceName"] == one("Service", {})["metadata"]["name"]
    assert variables["PIPELINE_KAFKA__GROUP_INSTANCE_ID"]["valueFrom"] == {
        "fieldRef": {"fieldPath": "metadata.name"}
    }
    assert "PIPELINE_KAFKA__GROUP_INSTANCE_ID" not in str(worker({}))


def test_a_gpu_is_asked_for_and_used() -> None:
    values = VALUE_SETS["gpu"]
    found = container(worker(values))

    assert found["resources"]["limits"] == {"memory": "2Gi", "nvidia.com/gpu": 1}
    assert found["image"] == "registry.example/pipeline:0.1.0-cuda"
    assert environment(worker(values))["PIPELINE_DEVICE"] == "cuda"
    assert environment(worker({}))["PIPELINE_DEVICE"] == "cpu"


def test_a_digest_takes_the_place_of_the_tag() -> None:
    digest = "sha256:" + "a" * 64

    image = container(worker({"image": {"digest": digest}}))["image"]

    assert image == f"registry.example/pipeline@{digest}"


def scaler(values: Values) -> dict[str, Any]:
    (trigger,) = one("ScaledObject", values)["spec"]["triggers"]
    return dict(trigger)


@pytest.mark.parametrize(("partitions", "processes", "most"), [(6, 1, 6), (7, 2, 3)])
def test_keda_starts_no_worker_beyond_the_partitions(
    partitions: int, processes: int, most: int
) -> None:
    values = {
        "keda": {"enabled": True},
        "kafka": {"partitions": partitions},
        "processes": processes,
    }

    assert one("ScaledObject", values)["spec"]["maxReplicaCount"] == most
    assert scaler(values)["metadata"]["allowIdleConsumers"] == "false"
    # Helm would otherwise take back at each upgrade what KEDA has decided.
    assert "replicas" not in worker(values)["spec"]


@pytest.mark.parametrize("name", ["keda", "keda with sasl", "mutual tls", "everything on"])
def test_keda_looks_where_the_worker_reads(name: str) -> None:
    values = VALUE_SETS[name]
    variables = environment(worker(values))
    metadata = scaler(values)["metadata"]
    target = one("ScaledObject", values)["spec"]["scaleTargetRef"]

    assert metadata["bootstrapServers"] == variables["PIPELINE_KAFKA__BOOTSTRAP_SERVERS"]
    assert metadata["consumerGroup"] == variables["PIPELINE_KAFKA__GROUP_ID"]
    assert metadata["topic"] == variables["PIPELINE_KAFKA__READINGS_TOPIC"]
    assert target["kind"] == worker(values)["kind"]
    assert target["name"] == worker(values)["metadata"]["name"]
    protocol = variables["PIPELINE_KAFKA__SECURITY_PROTOCOL"]
    assert ("sasl" in metadata) == protocol.startswith("SASL")
    assert ("tls" in metadata) == protocol.endswith("SSL")


@pytest.mark.parametrize(
    ("mechanism", "name"), [("SCRAM-SHA-512", "scram_sha512"), ("PLAIN", "plaintext")]
)
def test_keda_shows_the_password_as_the_worker_does(mechanism: str, name: str) -> None:
    values = merged(SASL, {"keda": {"enabled": True}})
    values = merged(values, {"kafka": {"sasl": {"mechanism": mechanism}}})

    assert scaler(values)["metadata"]["sasl"] == name


def test_keda_takes_passwords_and_certificates_from_the_same_secrets() -> None:
    values = merged(SASL, MUTUAL_TLS, {"keda": {"enabled": True}})
    authentication = one("TriggerAuthentication", values)
    taken = {
        (one["parameter"], one["name"], one["key"])
        for one in authentication["spec"]["secretTargetRef"]
    }

    assert scaler(values)["authenticationRef"] == {
        "name": authentication["metadata"]["name"]
    }
    assert taken == {
        ("username", "kafka-login", "username"),
        ("password", "kafka-login", "password"),
        ("ca", "kafka-tls", "ca.crt"),
        ("cert", "kafka-tls", "tls.crt"),
        ("key", "kafka-tls", "tls.key"),
        ("keyPassword", "kafka-tls", "tls.password"),
    }
    assert "TriggerAuthentication" not in kinds({"keda": {"enabled": True}})
