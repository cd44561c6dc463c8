"""Readings as records of the readings topic."""

from collections.abc import Iterator

import msgspec
import numpy as np

from pipeline.records import Message
from pipeline.table import Table
from pipeline.times import iso_time


def messages(table: Table, topic: str, begin: int, end: int) -> Iterator[Message]:
    """Rows [begin, end) as records of the readings topic."""
    encoder = msgspec.json.Encoder()
    for row in range(begin, end):
        unit = table.units[table.unit_N[row]]
        values = {
            sensor: None if np.isnan(value) else value
            for sensor, value in zip(
                table.sensors, table.values_NF[row].tolist(), strict=True
            )
        }
        reading = {"unit": unit, "time": iso_time(table.time_s_N[row]), "values": values}
        yield Message(topic=topic, key=unit.encode(), value=encoder.encode(reading))
