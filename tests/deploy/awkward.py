"""Values that a chart is apt to write wrongly.

Names that YAML takes for something else, and numbers that Go would write with an exponent.
"""

from collections.abc import Mapping
from typing import Any

WORKER: Mapping[str, Any] = {
    "image": {"repository": "12", "tag": "30", "pullSecrets": ["123", "on"]},
    "kafka": {
        "partitions": 2_000_000,
        "sasl": {"existingSecret": "1e3"},
        "tls": {"existingSecret": "456"},
    },
    "replicas": 1_000_000,
    "shadow": "7",
    "promote": "8",
    "registry": {"existingClaim": "123"},
    "retraining": {
        "enabled": True,
        "history": {"existingClaim": "no", "file": "1"},
        "name": "1e3",
        "keep": 1_000_000,
        "args": ["1"],
        "settings": {"TRAINER_SEED": 1_000_000},
        "deadlineSeconds": 1_000_000,
        "timeZone": "123",
    },
    "gpu": {
        "count": 1_000_000,
        "enabled": True,
        "tag": "1",
        "runtimeClassName": "1",
    },
    "keda": {"pollingIntervalSeconds": 1_000_000, "lagThreshold": 1_000_000},
    "terminationGracePeriodSeconds": 1_000_000,
    "startupSeconds": 5_000_000,
    "podDisruptionBudget": {"maxUnavailable": 1_000_000},
    "serviceAccount": {"name": "789"},
    "podSecurityContext": {"runAsUser": 10001, "fsGroupChangePolicy": "Always"},
    "topologyKeys": ["123", "on"],
    "podLabels": {"on": "1"},
    "nodeSelector": {"1": "on"},
    "tolerations": [{"key": "1", "tolerationSeconds": 1_000_000}],
    "priorityClassName": "123",
}
SCALED: Mapping[str, Any] = {
    "registry": {"storageClassName": "on"},
    "kafka": {"partitions": 2_000_000, "tls": {"existingSecret": "456"}},
    "keda": {
        "enabled": True,
        "minReplicas": 1_000_000,
        "pollingIntervalSeconds": 1_000_000,
        "lagThreshold": 1_000_000,
    },
    "podDisruptionBudget": {"maxUnavailable": "50%"},
}
