"""Alerts and verdicts, as the tests of labels need them."""

import json

from tests.trainer.reporting import START_S, STEP_S, alert_line
from trainer.labels.lines import Listed

DIGEST = "sha256:0"


def alert(opened: int, closed: int | None, unit: str = "pump-7") -> Listed:
    """The last alert of an incident from reading `opened` to `closed`."""
    return Listed("alerts: line 1", alert_line(DIGEST, opened, closed, unit).encode())


def verdict_line(opened: int, verdict: str, hour: int = 7, unit: str = "pump-7") -> str:
    """What Ada said of the incident that opened there."""
    return json.dumps(
        {
            "incident_id": f"{unit}-{opened}",
            "verdict": verdict,
            "who": "ada",
            "when": f"2026-11-22T{hour:02}:00:00Z",
        }
    )


def verdict(opened: int, said: str, hour: int = 7) -> Listed:
    return Listed("feedback: line 1", verdict_line(opened, said, hour).encode())


def at(reading: int) -> float:
    """The time of a reading."""
    return START_S + STEP_S * reading
