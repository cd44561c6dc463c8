"""Synthetic readings sent to Kafka, at a steady rate, with the times they are sent at."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from pipeline.paced import paced_to_kafka
from pipeline.settings_kafka import KafkaSettings
from pipeline.table import Table
from trainer.synthetic.rows import Rows


def tables(rows: Iterator[Rows], sensors: Sequence[str]) -> Iterator[Table]:
    """Rows without times, for a sender that gives them some."""
    for piece in rows:
        untimed_N = np.zeros(len(piece.unit_N))
        units, unit_N = tuple(piece.units), piece.unit_N
        yield Table(tuple(sensors), units, untimed_N, unit_N, piece.values_NF, label_N=None)


def send_to_kafka(
    rows: Iterator[Rows],
    kafka: KafkaSettings,
    sensors: Sequence[str],
    rate: float,
    on_sent: Callable[[int], None],
) -> str:
    """Send rows until there are no more, or Ctrl-C, and say what was sent.

    Args:
        rows: what to send.
        kafka: where to, and as whom.
        sensors: the columns' names.
        rate: readings a second, > 0.
        on_sent: told how many readings were sent so far.

    Raises:
        InputError: there is no such topic.
        TransportError: the broker refused, or did not answer in time.
    """
    is_stopped = False
    with paced_to_kafka(kafka, rate) as sender:
        try:
            sender.send(tables(rows, sensors), on_sent)
        except KeyboardInterrupt:
            is_stopped = True
    return sender.summary(is_stopped)
