"""What `pipeline promote` says: the detectors there are, and what a promotion changes."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table as PrintedTable
from rich.text import Text

from pipeline.detector.manifest import Manifest
from pipeline.registry.folder import CURRENT, PREVIOUS, Registry
from pipeline.registry.promote import Known, Promotion, known

SHORT_DIGEST = 19
"""Characters: `sha256:` and twelve more tell detectors apart."""
MAX_SENSORS_NAMED = 10
PLAIN_WIDTH = 160
"""Characters in a line where no terminal says how many fit."""


def show_detectors(registry: Registry) -> None:
    """Print a line for each detector of a registry."""
    marks = {registry.target(PREVIOUS): PREVIOUS, registry.target(CURRENT): CURRENT}
    marks.pop(None, None)
    names = registry.names()
    # One that a link leads to and that is gone is an entry too.
    names += [name for name in marks if name is not None and name not in names]
    detectors = [known(registry, name) for name in names]
    columns = ("detector", "in use", "digest", "trained until", "window", "sensors")
    printed = PrintedTable(box=None, pad_edge=False, header_style="bold")
    for column in (*columns, "false alarms promised"):
        printed.add_column(column, overflow="fold")
    for detector in detectors:
        cells = _line(detector, marks.get(detector.name, ""))
        printed.add_row(*map(Text, cells))
    console = _console()
    console.print(printed)
    for detector in detectors:
        if detector.problem:
            console.print(detector.problem, markup=False, soft_wrap=True)


def _line(detector: Known, mark: str) -> list[str]:
    manifest = detector.manifest
    if manifest is None:
        return [detector.name, mark, "unreadable", *[""] * 4]
    return [
        detector.name,
        mark,
        detector.digest[:SHORT_DIGEST],
        manifest.training.last_time,
        str(manifest.window),
        str(len(manifest.sensors)),
        _promise(manifest),
    ]


def show_promotion(promotion: Promotion) -> None:
    """Print what is in use, and what will be."""
    printed = PrintedTable(box=None, pad_edge=False, header_style="bold")
    for column in ("", "now", "then"):
        printed.add_column(column, overflow="fold")
    old, new = promotion.old, promotion.new
    printed.add_row("detector", Text(old.name if old else "none"), Text(new.name))
    printed.add_row(
        "digest",
        Text(old.digest[:SHORT_DIGEST] if old else ""),
        Text(new.digest[:SHORT_DIGEST]),
    )
    facts_now = _facts(old.manifest if old else None)
    for what, then in _facts(new.manifest).items():
        printed.add_row(what, Text(facts_now.get(what, "")), Text(then))
    console = _console()
    console.print(printed)
    for line in _changed_sensors(old, new):
        console.print(line, markup=False, soft_wrap=True)
    if old and old.problem:
        stays = f"{PREVIOUS} stays {promotion.previous or 'unset'}"
        line = f"{old.name} cannot be verified, so that {stays}: {old.problem}"
        console.print(line, markup=False, soft_wrap=True)


def _facts(manifest: Manifest | None) -> dict[str, str]:
    if manifest is None:
        return {}
    training, incident = manifest.training, manifest.incident
    return {
        "model": manifest.model,
        "trained on": f"{training.first_time} to {training.last_time}, "
        f"{training.n_rows:,} rows, {training.n_units:,} units",
        "sensors": str(len(manifest.sensors)),
        "window": str(manifest.window),
        "opens, closes": f"{incident.trigger[0]} of {incident.trigger[1]}, "
        f"{incident.recovery} in a row",
        "false alarms promised": _promise(manifest),
    }


def _promise(manifest: Manifest) -> str:
    rate = manifest.threshold.expected_false_alarms_per_unit_day
    return f"{rate:.2g} per unit and day"


def _changed_sensors(old: Known | None, new: Known) -> list[str]:
    if old is None or old.manifest is None or new.manifest is None:
        return []
    now, then = old.manifest.sensors, new.manifest.sensors
    changes = {
        "sensors added": [sensor for sensor in then if sensor not in set(now)],
        "sensors removed": [sensor for sensor in now if sensor not in set(then)],
    }
    return [f"{what}: {_shown(names)}" for what, names in changes.items() if names]


def _shown(names: Sequence[str]) -> str:
    more = len(names) - MAX_SENSORS_NAMED
    return ", ".join(names[:MAX_SENSORS_NAMED]) + (f" and {more} more" if more > 0 else "")


def _console() -> Console:
    console = Console(highlight=False)
    if console.is_terminal:
        return console
    return Console(highlight=False, width=PLAIN_WIDTH, color_system=None)
