"""What the benchmarks share: a Kafka, topics, detectors. Each is made on first use."""

from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pipeline.kafka_server import LocalKafka
from tests.bench import child, stream, topics, worker
from trainer.settings import TrainerSettings
from trainer.train import train

MAX_RECORDS = 10_000
"""Of a poll: the worker's default, and what the bare clients ask for."""
AE = "ae"
PLAIN = "plain"
"""An autoencoder of the default sizes whose scores are those of the newest reading."""
ENSEMBLE = "ensemble"
_FITTED: dict[str, tuple[str, dict[str, object]]] = {
    # 256-64-16-64-256, one network.
    AE: (AE, {"folds": 1, "hidden": 64, "latent": 16, "steps": 200}),
    PLAIN: (AE, {"max_span": 1, "steps": 100}),
    # Of the default sizes and members; trained for less long, which costs nothing later.
    ENSEMBLE: (ENSEMBLE, {"steps": 100}),
}


@dataclass
class Site:
    """Owns the Kafka, and what lies in `folder`. A context manager."""

    folder: Path
    scale: float = 1.0
    """Numbers of readings are multiplied by it."""
    n_repeats: int = 3
    _stack: ExitStack = field(default_factory=ExitStack)
    _topics: dict[tuple[int, int], str] = field(default_factory=dict)

    def __enter__(self) -> "Site":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def scaled(self, n: int, multiple: int = 1) -> int:
        """`n` readings at this scale, at least one and a multiple of `multiple`."""
        return multiple * max(1, round(n * self.scale / multiple))

    @cached_property
    def servers(self) -> str:
        """Of the Kafka, which is a child process."""
        kafka = self._stack.enter_context(LocalKafka(n_partitions=stream.N_PARTITIONS))
        return kafka.bootstrap_servers

    def detector(self, model: str) -> Path:
        """A folder with a detector of `stream.SENSORS`, trained when first asked for."""
        folder = self.folder / model
        if not folder.exists():
            name, given = _FITTED[model]
            fitted = TrainerSettings.model_validate({**given, "scaling": "pooled"})
            train(stream.history(), name, fitted, folder, lambda done, loss: None)
        return folder

    def topic(self, n_readings: int, n_per_record: int = 1) -> str:
        """A topic with so many readings of `stream.N_UNITS` units.

        Args:
            n_readings: a multiple of the number of units times `n_per_record`.
            n_per_record: see `stream.items`.
        """
        wanted = (n_readings, n_per_record)
        if wanted not in self._topics:
            topic = f"readings-{n_readings}-{n_per_record}"
            topics.create(self.servers, topic)
            values_TUF = stream.series(n_readings // stream.N_UNITS)
            topics.fill(self.servers, topic, stream.items(values_TUF, n_per_record))
            # Once through: neither side should be the one to warm the broker up.
            self._topics[wanted] = topic
            self.bare("kafka-python", topic, n_readings // n_per_record)
        return self._topics[wanted]

    def bare(self, client: str, topic: str, n_records: int) -> float:
        """Records/s of a client's own loop from a topic's start to its end."""
        result = child.run(
            "bare",
            client=client,
            servers=self.servers,
            topic=topic,
            n_records=n_records,
            max_records=MAX_RECORDS,
        )
        return float(result["readings_per_s"])

    def worker(
        self, model: str, topic: str, n_readings: int, **overrides: str
    ) -> worker.Run:
        """One run of `pipeline run` over a topic.

        Args:
            model: of the detector.
            topic: from its start.
            n_readings: until so many are read.
            overrides: environment variables.
        """
        given = worker.settings(self.servers, self.detector(model), topic)
        return worker.run({**given, **overrides}, n_readings, self.folder)
