"""Reads alerts, each once. SIGTERM or Ctrl-C ends it after the alert in hand.

python consumer.py HOST:PORT [TOPIC] [GROUP]
"""

import json
import signal
import sys
import threading
from collections import OrderedDict

from kafka import KafkaConsumer, OffsetAndMetadata
from kafka.errors import KafkaError

TEXTS = ("schema", "incident_id", "state", "time", "unit", "severity")


def work(alert: dict) -> None:
    """What you do with an alert. After a crash the last ones may come again."""
    sensors = ", ".join(sensor["name"] for sensor in alert["sensors"])
    print(alert["state"], alert["unit"], alert["severity"], sensors, flush=True)


def decoded(value: bytes) -> dict:
    """The alert, with all that is used here; an error where it is none of this version."""
    alert = json.loads(value)
    texts = [alert[name] for name in TEXTS] + [each["name"] for each in alert["sensors"]]
    if texts[0] != "alert/1" or not all(isinstance(text, str) for text in texts):
        raise ValueError(f"expected alert/1, got {texts}"[:200])
    return alert


def take(record, seen: OrderedDict) -> None:
    """Work on it, unless it is a repeat or no alert."""
    try:
        alert = decoded(record.value)
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        where = f"partition {record.partition} offset {record.offset}"
        print(f"skipped {where}, no alert/1: {error!r}", file=sys.stderr, flush=True)
        return
    repeat = (alert["incident_id"], alert["state"], alert["time"])
    if repeat not in seen:
        work(alert)
    seen[repeat] = None
    if len(seen) > 100_000:
        seen.popitem(last=False)


def main(servers: str, topic: str = "alerts", group: str = "operators") -> None:
    """Read on until a signal. Where the group has never read, from the beginning."""
    stop, seen = threading.Event(), OrderedDict()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, frame: stop.set())
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=servers.split(","),
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        isolation_level="read_committed",
    )
    while not stop.is_set():
        # Few: who does not poll within 5 min (max_poll_interval_ms) is out of the group.
        polled, done = consumer.poll(timeout_ms=250, max_records=10), {}
        for partition, records in polled.items():
            for record in records:
                if not stop.is_set():
                    take(record, seen)
                    done[partition] = OffsetAndMetadata(record.offset + 1)
        try:
            if done:  # After the work, and no further: nothing is lost.
                consumer.commit(done, timeout_ms=5_000)
        except KafkaError as error:
            what = "the last alerts are not committed and may come again"
            print(f"{what}: {error!r}", file=sys.stderr, flush=True)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
