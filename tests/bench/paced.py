"""`python -m tests.bench.paced`: a producer that sends at a steady rate."""

import json
import time

import numpy as np
from kafka import KafkaProducer

from tests.bench import child, stream

TICK_S = 0.005


def main() -> None:
    """Send readings of all units for so long; tell the step and unit of each fault."""
    given = child.options("servers", "topic", "per_s", "for_s", "faults_from_s")
    per_s = float(given.per_s)
    n_steps = int(per_s * float(given.for_s)) // stream.N_UNITS
    begin = int(per_s * float(given.faults_from_s)) // stream.N_UNITS
    usual_TUF = stream.series(n_steps)
    values_TUF = stream.with_faults(
        usual_TUF, begin, every=FAULT_EVERY, length=FAULT_LENGTH
    )
    is_faulty_TU = (values_TUF != usual_TUF).any(axis=2)
    begins_TU = np.diff(is_faulty_TU, axis=0, prepend=False) & is_faulty_TU
    items = list(stream.items(values_TUF))
    producer = KafkaProducer(bootstrap_servers=given.servers, acks=1, linger_ms=0)
    began_s = time.perf_counter()
    n_sent = 0
    behind_s = 0.0
    while n_sent < len(items):
        since_s = time.perf_counter() - began_s
        due = min(len(items), int(since_s * per_s))
        behind_s = max(behind_s, (due - n_sent) / per_s)
        for item in items[n_sent:due]:
            producer.send(given.topic, item.value, item.key, partition=item.partition)
        n_sent = due
        time.sleep(TICK_S)
    producer.flush(timeout=30.0)
    faults = np.argwhere(begins_TU).tolist()
    print(json.dumps({"n_sent": n_sent, "most_behind_s": behind_s, "faults": faults}))


FAULT_EVERY = 400
"""Steps of a unit, 8 s at 50 readings a second: long enough for an incident to close."""
FAULT_LENGTH = 6

if __name__ == "__main__":
    main()
