"""Records of the alert topic, made by hand."""

import json
from typing import Any

from pipeline.records import Message
from pipeline.times import iso_time

BEGIN_S = 1_795_000_000.0


def alert_json(
    number: int = 1,
    state: str = "opened",
    after_s: float = 0.0,
    score: float = 1.5,
    peak_score: float | None = None,
    unit: str = "pump-7",
    sensor: str = "vibration",
    **changed: Any,
) -> bytes:
    """One alert of incident `number`, `after_s` after it opened."""
    peak = score if peak_score is None else peak_score
    time = iso_time(BEGIN_S + after_s)
    alert = {
        "schema": "alert/1",
        "incident_id": f"{number:032x}",
        "state": state,
        "unit": unit,
        "opened_at": iso_time(BEGIN_S),
        "time": time,
        "closed_at": time if state == "closed" else None,
        "score": score,
        "peak_score": peak,
        "severity": "critical" if peak >= 2 else "warning",
        "sensors": [
            {"name": sensor, "contribution": 0.6, "observed": 0.8, "expected": 0.4}
        ],
        "detector": {"name": "pumps", "digest": "sha256:" + "0f" * 32},
        "source": {
            "topic": "readings",
            "partition": 3,
            "first_offset": 1180,
            "last_offset": 1211,
        },
    }
    return json.dumps({**alert, **changed}).encode()


def course(number: int, n_updates: int = 1, unit: str = "pump-7") -> list[bytes]:
    """All alerts of an incident that closes again."""
    return [
        alert_json(number, unit=unit),
        *(
            alert_json(number, "updated", 10.0 * n, 1.5 + n, unit=unit)
            for n in range(1, n_updates + 1)
        ),
        alert_json(number, "closed", 1_000.0, 0.5, 1.5 + n_updates, unit=unit),
    ]


def messages(topic: str, values: list[bytes], key: bytes = b"pump-7") -> list[Message]:
    """Those of one unit, in order."""
    return [Message(topic, value, key) for value in values]
