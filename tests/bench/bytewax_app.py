"""`python -m tests.bench.bytewax_app`: the worker's job on Bytewax.

`--style reading` keeps windows by `stateful_map` and calls torch once a reading, as most
dataflows are written. `--style batch` takes what one poll of the source returned through
every step: decoded by `flat_map_batch`, windows by `stateful_batch`, one call of torch.
"""

from collections.abc import Iterable
from typing import Any

import bytewax.operators as op
import msgspec
import numpy as np
from bytewax.connectors.kafka import KafkaSinkMessage, KafkaSource
from bytewax.connectors.kafka import operators as kafka_op
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.run import cli_main
from numpy.lib.stride_tricks import sliding_window_view

from tests.bench import child
from tests.bench.rival_model import RivalModel, decoder

BATCH_RECORDS = 10_000
Row = list[float]


def main() -> None:
    """Read a topic from its start until so many readings are scored."""
    given = child.options("servers", "topic", "detector", "n_readings", "style")
    model = RivalModel(given.detector)
    meter = child.Meter(int(given.n_readings))
    flow = Dataflow("score")
    source = KafkaSource([given.servers], [given.topic], batch_size=BATCH_RECORDS)
    records = op.input("readings", flow, source)

    def decoded(batch: list[Any]) -> Iterable[tuple[str, Row]]:
        readings = [decoder.decode(record.value) for record in batch]
        return [(reading.unit, model.row(reading)) for reading in readings]

    def scored(batch: list[tuple[str, Any]]) -> Iterable[Any]:
        # Per unit either one window, or none yet, or all that a batch completed.
        whole = [(unit, windows) for unit, windows in batch if len(windows)]
        score_B = (
            model.scores(np.concatenate([windows for _, windows in whole]))
            if whole
            else np.empty(0)
        )
        units = [unit for unit, windows in whole for _ in range(len(windows))]
        meter.count(len(score_B))
        return [
            KafkaSinkMessage(None, msgspec.json.encode({"unit": unit, "score": value}))
            for unit, value in zip(units, score_B.tolist(), strict=True)
            if value >= 1.0
        ]

    def window_of(kept: list[Row] | None, row: Row) -> tuple[list[Row], Any]:
        rows = [*(kept or []), row][-model.window :]
        return rows, [rows] if len(rows) == model.window else []

    if given.style == "reading":
        keyed = op.flat_map("decode", records, lambda record: decoded([record]))
        windows = op.stateful_map("window", keyed, window_of)
        alerts = op.flat_map("score", windows, lambda window: scored([window]))
    else:
        keyed = op.flat_map_batch("decode", records, decoded)
        windows = op.stateful_batch("window", keyed, lambda kept: _Windows(model, kept))
        alerts = op.flat_map_batch("score", windows, scored)
    kafka_op.output("alerts", alerts, brokers=[given.servers], topic="alerts-bytewax")
    cli_main(flow)


class _Windows(StatefulBatchLogic[Row, Any, Any]):  # type: ignore[misc, unused-ignore]
    """One unit's last readings; gives all windows that a batch completes, as one array."""

    def __init__(self, model: RivalModel, kept_TF: Any) -> None:
        self._length = model.window
        self._kept_TF = (
            np.empty((0, len(model.sensors)), np.float32) if kept_TF is None else kept_TF
        )

    def on_batch(self, values: list[Row]) -> tuple[list[Any], bool]:
        rows_MF = np.concatenate([self._kept_TF, np.array(values, dtype=np.float32)])
        self._kept_TF = rows_MF[-(self._length - 1) :]
        if len(rows_MF) < self._length:
            return [], StatefulBatchLogic.RETAIN
        views_BFT = sliding_window_view(rows_MF, self._length, axis=0)
        return [views_BFT.transpose(0, 2, 1)], StatefulBatchLogic.RETAIN

    def snapshot(self) -> Any:
        return self._kept_TF.copy()


if __name__ == "__main__":
    main()
