"""Command line of the worker. Torch and Kafka are imported only by the commands that use
them, so that `--help` is quick."""

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, NoReturn, TypeAlias

import typer

from pipeline.compare.command import compare
from pipeline.errors import PipelineError
from pipeline.plain_text import plain_lines
from pipeline.registry.command import promote

app = typer.Typer(
    name="pipeline",
    help="Scores sensor readings from Kafka and publishes incidents.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

Assignments: TypeAlias = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="Any other setting."),
]
EnvFile: TypeAlias = Annotated[
    Path | None, typer.Option(help="File with lines of PIPELINE_NAME=value.")
]
SecretsDir: TypeAlias = Annotated[
    Path | None, typer.Option(help="Folder with one file per setting.")
]
INTERRUPTED = 130
"""Typer's own exit code for Ctrl-C."""


@app.command()
def run(
    detector: Annotated[
        Path | None, typer.Option(help="Detector folder. PIPELINE_DETECTOR.")
    ] = None,
    bootstrap_servers: Annotated[
        str | None, typer.Option(help="PIPELINE_KAFKA__BOOTSTRAP_SERVERS.")
    ] = None,
    group_id: Annotated[str | None, typer.Option(help="PIPELINE_KAFKA__GROUP_ID.")] = None,
    port: Annotated[int | None, typer.Option(help="PIPELINE_HTTP__PORT.")] = None,
    device: Annotated[str | None, typer.Option(help="PIPELINE_DEVICE.")] = None,
    processes: Annotated[int | None, typer.Option(help="PIPELINE_PROCESSES.")] = None,
    assignments: Assignments = None,
    env_file: EnvFile = None,
    secrets_dir: SecretsDir = None,
) -> None:
    """Work on the stream until SIGTERM. Settings come from PIPELINE_ variables."""
    from pipeline.signals import StopSignals

    signals = StopSignals()

    from pipeline.configure import unknown_variables
    from pipeline.configured import configured
    from pipeline.settings import Settings

    named = {
        "detector": detector,
        "kafka.bootstrap_servers": bootstrap_servers,
        "kafka.group_id": group_id,
        "http.port": port,
        "device": device,
        "processes": processes,
    }
    overrides = {k: v for k, v in named.items() if v is not None}
    settings = configured(Settings, overrides, assignments, env_file, secrets_dir)

    import structlog

    for line in unknown_variables(Settings, os.environ, env_file, secrets_dir):
        structlog.get_logger().warning("unknown_setting", detail=line)

    try:
        if settings.processes > 1:
            from pipeline.processes import run as run_processes

            run_processes(settings, signals)
            return
        from pipeline.run import run as run_worker

        run_worker(settings, signals)
    except PipelineError as error:
        structlog.get_logger().error(
            "worker_failed", detail=str(error), exit_code=error.exit_code
        )
        raise
    leave()


@app.command(hidden=True)
def process() -> None:
    """One of the processes of `run --processes`, which tells it what to do."""
    from pipeline.signals import StopSignals

    signals = StopSignals()

    from pipeline.processes_child import Owner

    owner = Owner(signals)

    from pipeline.configure import read_settings, secret_values
    from pipeline.logs import configure_logs
    from pipeline.settings import Settings

    settings = read_settings(Settings, owner.settings)
    log = settings.log
    configure_logs(log.level, log.format, owner.number, secret_values(settings))

    from pipeline.run import run as run_worker

    try:
        run_worker(settings, signals, owner.hear_port)
    except PipelineError as error:
        owner.hear_error(error)
        leave(error.exit_code)
    leave()


@app.command()
def redrive(
    reasons: Annotated[
        list[str] | None,
        typer.Option("--reason", help="Only those refused for this reason. Repeatable."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Send no more.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be sent.")
    ] = False,
    to_topic: Annotated[
        str | None, typer.Option(help="Send to this topic, not where each came from.")
    ] = None,
    assignments: Assignments = None,
    env_file: EnvFile = None,
    secrets_dir: SecretsDir = None,
) -> None:
    """Send dead letters back, each once, after what was wrong with them is mended."""
    from pipeline.signals import StopSignals

    signals = StopSignals()

    from pipeline.configured import configured
    from pipeline.redrive_choice import Choice
    from pipeline.settings import ConnectionSettings

    settings = configured(ConnectionSettings, {}, assignments, env_file, secrets_dir)

    from pipeline.redrive_command import redrive as send_back

    choice = Choice(
        settings.kafka.dead_letters_topic,
        frozenset(reasons or ()),
        to_topic,
        limit,
        dry_run,
    )
    print("\n".join(send_back(settings, choice, signals)))


@app.command()
def replay(
    history: Annotated[Path, typer.Argument(help="CSV or Parquet.")],
    readings_per_s: Annotated[float, typer.Option(help="How fast.")] = 200.0,
    for_ever: Annotated[
        bool, typer.Option("--for-ever", help="Again and again, until Ctrl-C.")
    ] = False,
    keep_times: Annotated[
        bool,
        typer.Option(
            "--keep-times", help="With the file's own times, where these are past."
        ),
    ] = False,
    assignments: Assignments = None,
    env_file: EnvFile = None,
    secrets_dir: SecretsDir = None,
) -> None:
    """Send a history to the readings topic, as sensors would.

    Readings carry the times at which they are sent, so that lags are real; what is told
    per day is not, unless they are sent as fast as they were taken.
    """
    from pipeline.signals import StopSignals

    signals = StopSignals()

    from pipeline.configured import configured
    from pipeline.settings import ConnectionSettings

    settings = configured(ConnectionSettings, {}, assignments, env_file, secrets_dir)

    from pipeline.replay import replay as send

    print(send(settings, history, readings_per_s, for_ever, keep_times, signals))


@app.command()
def alerts(
    since: Annotated[
        str | None,
        typer.Option(
            help="Alerts published since then: 1h, 7d, or an ISO 8601 time. Unless told: "
            "all for what is open now, 1d for lines as they come."
        ),
    ] = None,
    from_beginning: Annotated[
        bool, typer.Option("--from-beginning", help="All that the topic holds.")
    ] = False,
    units: Annotated[
        list[str] | None,
        typer.Option("--unit", help="Only these: a name, or a pattern. Repeatable."),
    ] = None,
    severity: Annotated[str, typer.Option(help="Least: warning or critical.")] = "warning",
    once: Annotated[
        bool, typer.Option("--once", help="Show what is open now, and end.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One alert a line, as JSON.")
    ] = False,
    assignments: Assignments = None,
    env_file: EnvFile = None,
    secrets_dir: SecretsDir = None,
) -> None:
    """Follow the alert topic: what is open, and what was closed lately.

    Repeats are dropped. It is a member of no group, and commits nothing. Where the output
    is no terminal, alerts are printed a line each. An incident of which the topic holds no
    alert any more, as it has been open for longer than they are kept, is not shown.
    """
    from pipeline.signals import StopSignals

    signals = StopSignals()

    from pipeline.configured import configured
    from pipeline.settings import ConnectionSettings

    settings = configured(ConnectionSettings, {}, assignments, env_file, secrets_dir)

    import time

    from pipeline.follow.command import follow, options, terminal

    console = terminal()
    begin = "" if from_beginning else since
    wanted = options(begin, units or [], severity, once, as_json, console, time.time())
    follow(settings, wanted, console, signals)


@app.command()
def score(
    detector: Annotated[Path, typer.Argument(help="Detector folder.")],
    data: Annotated[Path, typer.Argument(help="History, CSV or Parquet.")],
    out: Annotated[Path, typer.Option(help="CSV file to write.")],
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Score a file through the worker's own steps."""
    from pipeline.logs import configure_logs

    configure_logs("warning", "auto")

    from pipeline.offline import score_file

    score_file(detector, data, out, device)


@app.command()
def demo(
    keep_running: Annotated[
        bool, typer.Option("--keep-running", help="Go on streaming until Ctrl-C.")
    ] = False,
    out: Annotated[
        Path, typer.Option(help="Folder for the detector, the alerts and the page.")
    ] = Path("demo-output"),
    readings_per_s: Annotated[
        float, typer.Option(min=1.0, help="How fast the data is streamed.")
    ] = 200.0,
) -> None:
    """Show the whole pipeline on real data: Kafka, training, worker, incidents."""
    from pipeline.demo.show import show

    show(out, keep_running, readings_per_s, os.environ)


@app.command()
def kafka(
    port: Annotated[int, typer.Option(min=0, max=65_535, help="0 takes a free one.")],
    partitions: Annotated[
        int, typer.Option(min=1, help="Partitions of topics created on first use.")
    ] = 1,
) -> None:
    """Run a real single-node Apache Kafka for trials, until SIGTERM or Ctrl-C."""
    from pipeline.kafka_server import serve

    serve(port, partitions)


app.command()(compare)
app.command()(promote)


def leave(exit_code: int = 0) -> NoReturn:
    """End, now that all is closed.

    Python would first take torch apart, which takes one second of those that are granted
    to stop in, and several where the machine is busy.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(exit_code)


def main() -> None:
    """The `pipeline` command."""
    exit_with_one_line(app)


def exit_with_one_line(command: Callable[[], object]) -> None:
    """Run a command line; an error of ours becomes one line and an exit code.

    2 for what the user gave, 1 for what failed on the way, 130 for Ctrl-C; of several
    processes that of the one which ended.
    """
    try:
        command()
    except PipelineError as error:
        print(f"error: {plain_lines(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as stop:
        if stop.code == INTERRUPTED:
            print("stopped", file=sys.stderr)
        raise


if __name__ == "__main__":
    main()
