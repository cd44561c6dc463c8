"""`pipeline replay`: sends a history to the readings topic, as sensors would."""

import math
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import structlog

from pipeline.errors import InputError
from pipeline.paced import paced_to_kafka
from pipeline.settings import ConnectionSettings
from pipeline.signals import StopSignals
from pipeline.table import Table, read_table

log = structlog.get_logger()

LOOK_EVERY_S = 0.25


def replay(
    settings: ConnectionSettings,
    path: Path,
    rate: float,
    for_ever: bool,
    keep_times: bool,
    signals: StopSignals,
) -> str:
    """Send a file's readings in the order of their times, and say what was sent.

    Args:
        settings: where to, and as whom.
        path: CSV or Parquet, see `read_table`.
        rate: readings a second.
        for_ever: begin again after the last one, until a signal.
        keep_times: see `PacedSender`.
        signals: when to stop.

    Raises:
        InputError: the rate or the file cannot be used, or there is no such topic.
        TransportError: Kafka refused, or did not answer in time.
    """
    if not (rate > 0 and math.isfinite(rate)):
        raise InputError(f"--readings-per-s {rate:g}: expected a number above 0")
    table = in_order_of_time(read_table(path))
    stop = signals.requested
    wait = partial(sleep_unless, stop)
    with paced_to_kafka(settings.kafka, rate, keep_times, wait) as sender:
        log.info(
            "replay_started",
            n_readings=len(table),
            n_units=len(table.units),
            readings_per_s=rate,
            topic=settings.kafka.readings_topic,
        )
        with signals.work_to_finish():
            sender.send(rounds(table, for_ever))
        return sender.summary(stop.is_set())


def sleep_unless(stop: threading.Event, seconds: float) -> bool:
    """Sleep for so long, or until `stop` is set; whether it is.

    Not by waiting on the event: a signal that sets it from within the wait would wait too.
    """
    until_s = time.monotonic() + seconds
    while not stop.is_set() and (left_s := until_s - time.monotonic()) > 0:
        time.sleep(min(left_s, LOOK_EVERY_S))
    return stop.is_set()


def in_order_of_time(table: Table) -> Table:
    """A file may have its units one after the other; sensors send side by side."""
    order_N = np.argsort(table.time_s_N, kind="stable")
    return replace(
        table,
        time_s_N=table.time_s_N[order_N],
        unit_N=table.unit_N[order_N],
        values_NF=table.values_NF[order_N],
        label_N=None,
    )


def rounds(table: Table, for_ever: bool) -> Iterator[Table]:
    """The table once, or again and again: each time later by its length, so that time goes
    on."""
    yield table
    time_s_N = table.time_s_N
    step_s = (time_s_N[-1] - time_s_N[0]) / max(len(table) - 1, 1)
    round_s = time_s_N[-1] - time_s_N[0] + step_s
    while for_ever:
        time_s_N = time_s_N + round_s
        yield replace(table, time_s_N=time_s_N)
