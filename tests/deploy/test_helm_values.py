"""Values of the chart that are refused, and what is said of them."""

import re

import pytest

from pipeline.configure import documented
from pipeline.settings import Settings
from tests.deploy.helm import SASL, Values, merged, template


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"image": {"repository": ""}}, "image.repository: expected where you pushed"),
        ({"kafka": {"bootstrapServers": ""}}, "kafka.bootstrapServers: expected host:port"),
        ({"kafka": {"bootstrapServers": "kafka"}}, "/kafka/bootstrapServers.*pattern"),
        ({"kafka": {"delivery": "twice"}}, "/kafka/delivery.*'at_least_once'"),
        (
            {"kafka": {"sasl": {"password": "hunter2"}}},
            "/kafka/sasl.*'password' not",
        ),
        ({"kafka": {"sasl": {"mechanism": "GSSAPI"}}}, "/kafka/sasl/mechanism.*'PLAIN'"),
        (
            {"kafka": {"securityProtocol": "SASL_SSL"}},
            "kafka.sasl.existingSecret: expected the name of a Secret",
        ),
        (
            merged(SASL, {"kafka": {"securityProtocol": "SSL"}}),
            "kafka.securityProtocol: expected SASL_SSL or SASL_PLAINTEXT .*got SSL",
        ),
        (
            {
                "kafka": {
                    "securityProtocol": "PLAINTEXT",
                    "tls": {"existingSecret": "ca"},
                }
            },
            "kafka.securityProtocol: expected SSL or SASL_SSL .*got PLAINTEXT",
        ),
        ({"replica": 3}, "'replica' not allowed"),
        ({"replicas": "two"}, "/replicas.*got string, want integer"),
        ({"replicas": 7}, "replicas: expected at most 6.*got 7"),
        ({"replicas": 4, "processes": 2}, "replicas: expected at most 3.*got 4"),
        ({"processes": 7}, r"processes: expected at most kafka.partitions \(6\), got 7"),
        (
            {"keda": {"enabled": True, "minReplicas": 7}},
            "keda.minReplicas: expected at most 6.*got 7",
        ),
        ({"keda": {"lagThreshold": 0}}, "/keda/lagThreshold.*minimum"),
        ({"terminationGracePeriodSeconds": 5}, "/terminationGracePeriodSeconds.*minimum"),
        (
            {"gpu": {"enabled": True}},
            "gpu.tag: expected the tag of an image",
        ),
        ({"retraining": {"enabled": True}}, "retraining.history.existingClaim: expected"),
        ({"retraining": {"schedule": "weekly"}}, "/retraining/schedule.*pattern"),
        ({"retraining": {"name": "a/b"}}, "/retraining/name.*pattern"),
        (
            {"retraining": {"settings": {"window": 64}}},
            "retraining.settings: expected names such as TRAINER_WINDOW, got window",
        ),
        ({"dashboards": {"enabled": True}}, "runbook: expected a URL"),
        ({"prometheusRule": {"enabled": True}}, "runbook: expected a URL"),
        ({"runbook": "RUNBOOK.md"}, "/runbook.*pattern"),
        ({"promote": "../elsewhere"}, "/promote.*pattern"),
        ({"registry": {"size": "big"}}, "/registry/size.*pattern"),
        (
            {"settings": {"poll": 1}},
            "settings: expected names such as PIPELINE_POLL__MAX_RECORDS, got poll",
        ),
        ({"settings": {"PIPELINE_POLL__MAX_RECORDS": [1]}}, "/settings/PIPELINE_POLL__"),
        (
            {"settings": {"PIPELINE_DEVICE": "cuda"}},
            "settings: PIPELINE_DEVICE is decided by another value",
        ),
    ],
)
def test_values_that_cannot_be_meant_are_refused(values: Values, message: str) -> None:
    done = template(values)

    assert done.returncode != 0
    assert re.search(message, done.stderr), done.stderr


@pytest.mark.parametrize(
    "name",
    [
        name
        for name, *_ in documented(Settings)
        if "PASSWORD" in name or name.endswith("SASL__USERNAME")
    ],
)
def test_a_secret_among_the_settings_is_refused_and_not_repeated(name: str) -> None:
    done = template({"settings": {name: "hunter2"}})

    assert done.returncode != 0
    assert "kafka.sasl.existingSecret" in done.stderr
    assert "hunter2" not in done.stderr + done.stdout
