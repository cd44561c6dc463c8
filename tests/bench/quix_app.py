"""`python -m tests.bench.quix_app`: the worker's job on Quix Streams.

`--style reading` is as its documentation shows: the unit's window in its state store, one
call of torch a reading. `--style batch` keeps windows in memory, as the worker does, and
collects them for one call of torch: the framework hands over one record at a time, so that
is as far as batching goes.
"""

from collections import defaultdict, deque
from tempfile import TemporaryDirectory
from typing import Any
from uuid import uuid4

from quixstreams import Application

from tests.bench import child
from tests.bench.rival_model import RivalModel

BATCH_WINDOWS = 256
Alert = dict[str, Any]


def main() -> None:
    """Read a topic from its start until so many readings are scored."""
    given = child.options("servers", "topic", "detector", "n_readings", "style")
    model = RivalModel(given.detector)
    meter = child.Meter(int(given.n_readings))
    with TemporaryDirectory() as folder:
        application = Application(
            broker_address=given.servers,
            consumer_group=uuid4().hex,
            auto_offset_reset="earliest",
            state_dir=folder,
            loglevel="ERROR",
            # Nobody restarts it here: it is faster without a copy of its state.
            use_changelog_topics=False,
        )
        readings = application.dataframe(
            application.topic(given.topic, value_deserializer="json")
        )
        if given.style == "reading":
            scored = readings.apply(_by_reading(model, meter), stateful=True)
            alerts = scored.filter(lambda alert: alert is not None)
        else:
            alerts = readings.apply(_by_batch(model, meter), expand=True)
        alerts.to_topic(application.topic("alerts-quix", value_serializer="json"))
        application.run()


def _by_reading(model: RivalModel, meter: child.Meter) -> Any:
    def score(reading: dict[str, Any], state: Any) -> Alert | None:
        window = state.get("window", [])
        window.append([reading["values"][sensor] for sensor in model.sensors])
        window = window[-model.window :]
        state.set("window", window)
        alert = None
        if len(window) == model.window:
            value = float(model.scores([window])[0])
            if value >= 1.0:
                alert = {"unit": reading["unit"], "time": reading["time"], "score": value}
        meter.count(1)
        return alert

    return score


def _by_batch(model: RivalModel, meter: child.Meter) -> Any:
    windows: dict[str, deque[list[float]]] = defaultdict(lambda: deque(maxlen=model.window))
    waiting: list[tuple[dict[str, Any], list[list[float]]]] = []

    def score(reading: dict[str, Any]) -> list[Alert]:
        window = windows[reading["unit"]]
        window.append([reading["values"][sensor] for sensor in model.sensors])
        if len(window) < model.window:
            meter.count(1)
            return []
        waiting.append((reading, list(window)))
        if len(waiting) < BATCH_WINDOWS:
            return []
        scores = model.scores([rows for _, rows in waiting]).tolist()
        alerts = [
            {"unit": r["unit"], "time": r["time"], "score": value}
            for (r, _), value in zip(waiting, scores, strict=True)
            if value >= 1.0
        ]
        meter.count(len(waiting))
        waiting.clear()
        return alerts

    return score


if __name__ == "__main__":
    main()
