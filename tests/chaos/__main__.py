"""`python -m tests.chaos --seed S --minutes M`: is it exact, whatever happens?"""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer

from pipeline.kafka_server import LocalKafka
from pipeline.logs import configure_logs
from tests.chaos.proxy import Proxy
from tests.chaos.run import N_PARTITIONS, Way, run


def main(
    seed: Annotated[int, typer.Option(help="The same seed does the same things.")] = 0,
    minutes: Annotated[float, typer.Option(help="Of disturbances.")] = 1.5,
    client: Annotated[str, typer.Option(help="Empty: by the seed.")] = "",
    delivery: Annotated[str, typer.Option(help="Empty: by the seed.")] = "",
    keep: Annotated[Path | None, typer.Option(help="Folder for the workers' logs.")] = None,
) -> None:
    """Disturb workers on a real Kafka; compare what they tell with an undisturbed one."""
    configure_logs("error", "text")
    by_seed = Way.of(seed)
    way = Way(client or by_seed.client, delivery or by_seed.delivery)
    with (
        TemporaryDirectory() as folder,
        Proxy() as proxy,
        LocalKafka(n_partitions=N_PARTITIONS, proxy_port=proxy.port) as kafka,
    ):
        outcome = run(kafka, proxy, seed, minutes * 60.0, keep or Path(folder), way)
    print(json.dumps(outcome.report, indent=1, default=dict[str, Counter[str]]))
    for line in outcome.differences:
        print(line)
    print("NOT exact" if outcome.differences else "exact")
    raise typer.Exit(1 if outcome.differences else 0)


if __name__ == "__main__":
    typer.run(main)
