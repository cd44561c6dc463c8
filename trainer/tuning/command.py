"""`trainer tune` on the command line."""

import sys
from pathlib import Path
from typing import Annotated

import typer


def tune(
    context: typer.Context,
    history: Annotated[Path, typer.Argument(help="CSV or Parquet: time, unit, sensors.")],
    trials: Annotated[
        int, typer.Option(min=1, max=10_000, help="Settings to try in all.")
    ] = 30,
    study: Annotated[
        Path | None,
        typer.Option(
            help="File of the search; by default HISTORY's name.tune.journal here."
        ),
    ] = None,
    page: Annotated[Path | None, typer.Option(help="HTML file to write.")] = None,
    jobs: Annotated[int, typer.Option(min=1, max=64, help="Trials at a time.")] = 1,
    timeout_s: Annotated[
        float | None, typer.Option(min=0.0, help="Stop after so many seconds.")
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            help="faults or labels: what settings are ranked by. By default labels where "
            "rows before the test part have any."
        ),
    ] = None,
    test_share: Annotated[
        float | None,
        typer.Option(help="End of each unit that is not looked at. By default 0.2."),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="As of fit; not searched if given.")
    ] = None,
    window: Annotated[int | None, typer.Option(help="Not searched if given.")] = None,
    latent: Annotated[int | None, typer.Option(help="Not searched if given.")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of all randomness.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N.")] = None,
    assignments: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Any other setting."),
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option(help="File with lines of TRAINER_NAME=value.")
    ] = None,
    helps: Annotated[int | None, typer.Option(hidden=True)] = None,
) -> None:
    """Search for the settings that suit a history: window, latent size, family, rate.

    Settings are judged on readings that they were not trained on. A search that was stopped
    goes on when the same command is given again.
    """
    named = {
        "window": window,
        "latent": latent,
        "seed": seed,
        "device": device,
        "test_share": test_share,
    }
    from trainer.tuning.search import Request, tune_file

    request = Request(
        history=history,
        study=study or Path(f"{history.stem}.tune.journal"),
        n_trials=trials,
        n_jobs=jobs,
        timeout_s=timeout_s,
        by=by,
        model=model,
        overrides={k: v for k, v in named.items() if v is not None},
        assignments=tuple(assignments or []),
        env_file=env_file,
        page=page,
        helps=helps,
    )
    for line in tune_file(request, context.obj):
        print(line)
    sys.stdout.flush()
