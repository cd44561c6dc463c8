"""`python -m tests.bench.listener`: an ordinary consumer that notes when records come.

It prints `ready` once it would see the next record. Once its standard input is closed and
all that has come is taken, it prints one line of JSON:
`[partition, offset, timestamp in ms, seen at in ms, value]` of each.
"""

import json
import sys
import threading
import time
from typing import Any

from kafka import KafkaConsumer, TopicPartition

from tests.bench import child


def main() -> None:
    """Take all that comes to a topic from now on, or every nth of it."""
    given = child.options("servers", "topic", "every")
    every = int(given.every)
    consumer = KafkaConsumer(bootstrap_servers=given.servers, enable_auto_commit=False)
    numbers = consumer.partitions_for_topic(given.topic) or set()
    consumer.assign([TopicPartition(given.topic, number) for number in sorted(numbers)])
    consumer.seek_to_end()
    for partition in consumer.assignment():
        consumer.position(partition)
    print("ready", flush=True)
    ended = threading.Event()
    threading.Thread(target=_wait_for_end, args=(ended,), daemon=True).start()
    seen: list[tuple[Any, float]] = []
    while not ended.is_set() or _has_more(consumer):
        for records in consumer.poll(timeout_ms=100).values():
            seen_ms = 1e3 * time.time()
            seen += [(record, seen_ms) for record in records if record.offset % every == 0]
    rows = [
        (r.partition, r.offset, r.timestamp, seen_ms, r.value.decode())
        for r, seen_ms in seen
    ]
    print(json.dumps(rows))


def _has_more(consumer: KafkaConsumer) -> bool:
    ends = consumer.end_offsets(list(consumer.assignment()))
    return any(consumer.position(partition) < end for partition, end in ends.items())


def _wait_for_end(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


if __name__ == "__main__":
    main()
