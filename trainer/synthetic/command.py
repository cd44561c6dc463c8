"""`trainer sample`: readings drawn from a detector, to a file or to Kafka."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

if TYPE_CHECKING:
    from pipeline.detector.artifact import LoadedDetector
    from pipeline.settings_kafka import KafkaSettings
    from trainer.synthetic.rows import Rows

Latent = Literal["posterior", "prior"]
Noise = Literal["observed", "gaussian"]


def sample(
    detector: Annotated[Path, typer.Argument(help="Detector folder, with a VAE in it.")],
    n: Annotated[
        int, typer.Option("-n", min=1, help="Windows; with --continuous, readings.")
    ] = 1_000,
    out: Annotated[Path | None, typer.Option(help="Parquet or CSV file to write.")] = None,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Series that go on, not single windows.")
    ] = False,
    units: Annotated[
        int, typer.Option(min=1, help="With --continuous: series side by side.")
    ] = 1,
    faults: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="KIND[:SENSOR][@SHARE]",
            help="Put in spike, drift, stuck, shift, dropout or noise. SHARE of the "
            "readings (of single windows: of these), 0.01 unless told. Repeatable.",
        ),
    ] = None,
    fault_size: Annotated[float, typer.Option(help="In standard deviations.")] = 5.0,
    fault_length: Annotated[int, typer.Option(min=1, help="Readings in a fault.")] = 32,
    start: Annotated[str, typer.Option(help="Time of the first.")] = "2026-01-01T00:00:00Z",
    step: Annotated[
        str, typer.Option(help="Between readings: 1s, 250ms, 5min, 1h.")
    ] = "1s",
    seed: Annotated[
        int, typer.Option(min=0, max=2**62, help="Seed of all randomness.")
    ] = 0,
    latent: Annotated[
        Latent,
        typer.Option(
            "--from",
            help="What latent vectors are drawn from: those of the training windows taken "
            "together, or the VAE's prior.",
        ),
    ] = "posterior",
    noise: Annotated[
        Noise,
        typer.Option(help="As training windows have it, or by the variance the VAE knows."),
    ] = "observed",
    to_kafka: Annotated[
        str | None, typer.Option(metavar="HOST:PORT", help="Send to Kafka, at --rate.")
    ] = None,
    topic: Annotated[str, typer.Option(help="With --to-kafka.")] = "readings",
    rate: Annotated[
        float, typer.Option(help="With --to-kafka: readings a second.")
    ] = 1_000.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Draw synthetic readings from a detector's VAE, with faults if asked.

    To Kafka they go with the times at which they are sent; security is set by
    PIPELINE_KAFKA__ variables, as for the worker.
    """
    from pipeline.logs import configure_logs

    configure_logs("warning", "auto")

    import math

    from pipeline.errors import InputError
    from pipeline.times import END_OF_CALENDAR_S
    from trainer.synthetic.times import length_of_step_s, time_of_start_s

    if (out is None) == (to_kafka is None):
        raise InputError("expected either --out FILE or --to-kafka HOST:PORT")
    if units > 1 and not continuous:
        raise InputError("--units: of use with --continuous only; a window is a unit")
    if not (rate > 0 and math.isfinite(rate)):
        raise InputError(f"--rate {rate:g}: expected a number above 0")
    if not (fault_size > 0 and math.isfinite(fault_size)):
        raise InputError(f"--fault-size {fault_size:g}: expected a number above 0")
    start_s, step_s = time_of_start_s(start), length_of_step_s(step)
    # A window's readings begin anew.
    if out is not None and start_s + n * step_s >= END_OF_CALENDAR_S:
        raise InputError(f"-n {n}: readings {step} apart would go beyond the year 9999")
    kafka = _kafka(to_kafka or "127.0.0.1:9092", topic)
    if out is not None:
        from pipeline.files import check_writable
        from trainer.table_out import check_suffix

        check_suffix(out)
        check_writable(out, [detector])

    from pipeline.detector import artifact

    loaded = artifact.load(detector)
    rows, n_rows = _rows(
        loaded,
        detector,
        n,
        units if continuous else None,
        faults or [],
        (fault_size, fault_length),
        (latent, noise),
        device,
        seed,
    )

    from pipeline.bar import progress_bar

    sensors = loaded.detector.sensors
    if out is None:
        from trainer.synthetic.send import send_to_kafka

        with progress_bar("sending") as on_progress:
            line = send_to_kafka(
                rows, kafka, sensors, rate, lambda n_sent: on_progress(n_sent / n_rows)
            )
        typer.echo(line)
        return
    from trainer.synthetic.write import write_rows

    with progress_bar("drawing") as on_progress:
        line = write_rows(out, sensors, rows, n_rows, start_s, step_s, on_progress)
    typer.echo(line)


def _rows(
    loaded: "LoadedDetector",
    folder: Path,
    n: int,
    n_units: int | None,
    faults: list[str],
    size_and_length: tuple[float, int],
    source: tuple[Latent, Noise],
    device: str,
    seed: int,
) -> "tuple[Iterator[Rows], int]":
    """What is drawn, and how many rows there will be."""
    from pipeline.errors import InputError
    from pipeline.score import choose_device
    from trainer.synthetic.draws import Draws
    from trainer.synthetic.faults import Faults, parse_fault
    from trainer.synthetic.rows import MAX_TOGETHER, series_rows, window_rows
    from trainer.synthetic.series import Quilt

    length, sensors = loaded.detector.window, loaded.detector.sensors
    specs = [parse_fault(text, sensors) for text in faults]
    if (n_units or 1) * length * len(sensors) > MAX_TOGETHER:
        most = max(MAX_TOGETHER // (length * len(sensors)), 1)
        raise InputError(f"--units {n_units}: expected at most {most} of this detector")
    draws = Draws(loaded, folder, *source, choose_device(device), seed)
    put_in = Faults(specs, len(sensors), *size_and_length, seed)
    scaling = loaded.detector.scaling
    if n_units is None:
        return window_rows(draws, scaling, n, put_in), n * length
    return series_rows(Quilt(draws, n_units, seed), scaling, n_units, n, put_in), n


def _kafka(servers: str, topic: str) -> "KafkaSettings":
    from pipeline.configure import read_settings
    from pipeline.settings import ConnectionSettings

    named = {"kafka.bootstrap_servers": servers, "kafka.readings_topic": topic}
    return read_settings(ConnectionSettings, named).kafka
