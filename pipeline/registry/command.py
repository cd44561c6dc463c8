"""`pipeline promote`."""

from pathlib import Path
from typing import Annotated

import typer

from pipeline.errors import InputError
from pipeline.given import given_path


def promote(
    registry: Annotated[
        Path,
        typer.Argument(
            parser=given_path, help="Folder of detectors, each in a folder of its own."
        ),
    ],
    name: Annotated[
        str | None, typer.Argument(help="Detector to take into use. None lists them.")
    ] = None,
    back: Annotated[
        bool, typer.Option("--back", help="Take the one before into use again.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only verify, and say what would change.")
    ] = False,
) -> None:
    """Take a detector into use, once verified: switches the link REGISTRY/current."""
    if back and name is not None:
        raise InputError("--back takes the detector before into use: give no NAME with it")

    from pipeline.registry.promote import open_registry
    from pipeline.registry.promote import promote as switch
    from pipeline.registry.show import show_detectors, show_promotion

    opened = open_registry(registry)
    if name is None and not back:
        if dry_run:
            raise InputError("--dry-run: name the detector, or give --back")
        show_detectors(opened)
        return
    promotion = switch(opened, name, dry_run, show_promotion)
    old, new = promotion.old, promotion.new
    if old is not None and old.name == new.name:
        print(f"{new.name} is in use already")
    elif dry_run:
        print(f"{new.name} is good; nothing was switched (--dry-run)")
    else:
        print(f"{registry / 'current'} is {new.name} now")
