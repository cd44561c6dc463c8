"""Command line of the trainer. Torch is imported only by the commands that use it."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from pipeline.__main__ import exit_with_one_line
from pipeline.errors import InputError
from trainer.compress.command import compress, decompress
from trainer.denoise.command import denoise
from trainer.latent.command import embed, similar
from trainer.synthetic.command import sample
from trainer.tuning.command import tune

app = typer.Typer(
    name="trainer",
    help="Fits detectors on historical sensor readings.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


@app.callback()
def _commands(context: typer.Context) -> None:
    """Fits detectors on historical sensor readings."""
    context.obj = os.environ


@app.command()
def fit(
    history: Annotated[Path, typer.Argument(help="CSV or Parquet: time, unit, sensors.")],
    out: Annotated[Path, typer.Option(help="Folder to write the detector to.")],
    model: Annotated[
        str | None,
        typer.Option(
            help="ensemble, or one family: ae, vae, dae, dvae, conv, gru. By default "
            "ensemble, or vae where --score is not residual.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Most epochs.")] = None,
    score: Annotated[
        str | None, typer.Option(help="residual, elbo or reconstruction-probability.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    false_alarms_per_day: Annotated[
        float | None, typer.Option(help="Incidents to accept per unit and day.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="Readings in a window.")] = None,
    latent: Annotated[int | None, typer.Option(help="Size of the latent vector.")] = None,
    corrupt: Annotated[
        str | None,
        typer.Option(
            metavar="noise:N,sensors:S,stretches:S",
            help="Train networks that mend: Gaussian noise of up to N standard deviations, "
            "shares of sensors missing over whole windows or stretches.",
        ),
    ] = None,
    trigger: Annotated[str | None, typer.Option(help="k/n, for example 3/5.")] = None,
    recovery: Annotated[int | None, typer.Option(help="Scores in a row below.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N.")] = None,
    labels: Annotated[
        str | None,
        typer.Option(
            help="Learn from verdicts: a file with one a line, kafka://HOST:PORT/TOPIC, "
            "or column: the history's column label.",
        ),
    ] = None,
    alerts: Annotated[
        str | None,
        typer.Option(help="The alerts of incidents with a verdict: a file, or kafka://..."),
    ] = None,
    preview: Annotated[
        bool, typer.Option("--preview", help="Say what labels change; write nothing.")
    ] = False,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting."),
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="File with lines of TRAINER_NAME=value.")
    ] = None,
) -> None:
    """Fit a detector on a history of normal readings and write its folder.

    The processes that torchrun starts fit it together.
    """
    named = {
        "epochs": epochs,
        "score": score,
        "seed": seed,
        "false_alarms_per_day": false_alarms_per_day,
        "window": window,
        "latent": latent,
        "corrupt": corrupt,
        "trigger": trigger,
        "recovery": recovery,
        "device": device,
    }
    overrides = {k: v for k, v in named.items() if v is not None}
    from trainer.distributed import joined
    from trainer.fit_file import LabelOptions, fit_file

    if labels is None and (alerts is not None or preview):
        raise InputError("--alerts and --preview go with --labels")
    asked = None if labels is None else LabelOptions(labels, alerts, preview)
    ranks = joined(os.environ)
    try:
        fit_file(
            history,
            out,
            model,
            overrides,
            assignments or [],
            env_file,
            os.environ,
            ranks,
            asked,
        )
    except InputError as error:
        if ranks.is_alone:
            raise
        if ranks.is_first:
            print(f"error: {error}", file=sys.stderr, flush=True)
        # torchrun kills the others once it sees that one has ended: not before the line is
        # there, and all at once, so that all have the same exit code.
        ranks.wait()
        os._exit(error.exit_code)


@app.command()
def report(
    detector: Annotated[Path, typer.Argument(help="Detector folder.")],
    out: Annotated[Path, typer.Option(help="HTML file to write.")],
    data: Annotated[
        Path | None,
        typer.Argument(help="CSV or Parquet, with or without label; else no incidents."),
    ] = None,
    alerts: Annotated[
        Path | None,
        typer.Option(help="Alert records, one a line; without it they are computed."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Write a page with pictures: what was learned, and what it says of data."""
    from pipeline.bar import progress_bar
    from trainer.report_file import write_report

    with progress_bar("scoring") as on_progress:
        lines = write_report(detector, data, out, alerts, device, on_progress)
    for line in lines:
        print(line)


@app.command()
def evaluate(
    detector: Annotated[Path, typer.Argument(help="Detector folder.")],
    data: Annotated[Path, typer.Argument(help="CSV or Parquet with a column label.")],
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead of a table.")
    ] = False,
    page: Annotated[
        Path | None, typer.Option(help="HTML file to write: figures and pictures.")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Measure a detector on labelled readings, beside baselines on the same."""
    from pipeline.logs import configure_logs

    configure_logs("warning", "auto")

    from pipeline.bar import progress_bar
    from trainer.evaluate_show import evaluate_file, json_text, show_evaluation

    with progress_bar("scoring") as on_progress:
        evaluation = evaluate_file(detector, data, page, device, on_progress)
    if as_json:
        print(json_text(evaluation))
        return
    show_evaluation(evaluation)
    if page is not None:
        print(f"page written: {page}")


app.command()(embed)
app.command()(similar)
app.command()(compress)
app.command()(decompress)
app.command()(denoise)
app.command()(sample)
app.command()(tune)


def main() -> None:
    """The `trainer` command."""
    exit_with_one_line(app)


if __name__ == "__main__":
    main()
