"""Reads alerts, each once. SIGTERM or Ctrl-C ends it after the alert in hand.

python consumer.py HOST:PORT [TOPIC] [GROUP]
"""

import json
import signal
import sys
import threading
from collections import OrderedDict

from kafka import KafkaConsumer


def work(alert: dict) -> None:
    """What you do with an alert. After a crash the last ones may come again."""
    sensors = ", ".join(sensor["name"] for sensor in alert["sensors"])
    print(alert["state"], alert["unit"], alert["severity"], sensors, flush=True)


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
        polled = consumer.poll(timeout_ms=250, max_records=100)
        for records in polled.values():
            for record in records:
                alert = json.loads(record.value)
                repeat = (alert["incident_id"], alert["state"], alert["time"])
                if repeat not in seen:
                    work(alert)
                seen[repeat] = None
        if polled:
            consumer.commit()  # Of the whole poll, after the work: nothing is lost.
        while len(seen) > 100_000:
            seen.popitem(last=False)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
