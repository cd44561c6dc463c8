"""Reading a history file in bounded memory, however long it is."""

import math
from dataclasses import replace
from pathlib import Path

from pipeline.errors import InputError
from pipeline.table import as_table, check_names
from pipeline.table_file import TableFile, open_table
from trainer.history import History, as_history, without_end
from trainer.long_history import KeptRows, read_kept
from trainer.settings import TrainerSettings
from trainer.split import held_out_share, is_long
from trainer.stretches import STRETCH_WINDOWS

MAX_VALUES = 2**24
"""Of all readings together: training takes less than 2 GiB for so many."""
OTHER_VALUES = 8
"""What a reading takes beside its sensors' values, in as many of these."""
MIN_MAX_READINGS = 100_000
"""Of many sensors: fewer readings would say too little of how rare false alarms are."""
MAX_JOINTS = 10
"""Neighbours in time of different stretches, for each stretch. In a file in the order of
time there is at most one."""


def read_history(path: Path, settings: TrainerSettings) -> History:
    """Read a CSV or Parquet table as history.

    Of one that is too long, as many readings as are allowed, in stretches all over it. The
    test part, `settings.test_share`, is left out.

    Raises:
        InputError: the file is no such table, or none of its sensors has a value. Or it is
            too long and far from the order of time.
    """
    file = open_table(path)
    check_names(file)
    n_kept = settings.max_readings or readings_by_rule(len(file.names))
    kept = None
    if file.may_hold_more(n_kept):
        length = settings.window
        share = held_out_share(settings.folds, settings.calibration_fraction)
        # A unit that was long enough still is when one stretch of it is kept.
        min_length = max(STRETCH_WINDOWS * length, math.ceil(length / share))
        kept = read_kept(
            file, n_kept, min_length, settings.seed, lambda n_U: is_long(n_U, share, length)
        )
    history = _whole(file) if kept is None else _part(path, kept)
    return without_end(history, settings.test_share)


def readings_by_rule(n_columns: int) -> int:
    """How many readings of so many columns are learned from, where no setting says."""
    return max(MIN_MAX_READINGS, MAX_VALUES // (OTHER_VALUES + n_columns))


def _whole(file: TableFile) -> History:
    return as_history(file.path, as_table(file.path, file.read()))


def _part(path: Path, kept: KeptRows) -> History:
    history = as_history(path, as_table(path, kept.rows, kept.row_N), kept.stretch_N)
    if len(history.joint_J) > MAX_JOINTS * kept.n_stretches:
        raise InputError(
            f"{path}: its {kept.n_rows:,} rows are too many to learn from all, and too far "
            "from the order of time to take stretches of them; sort each unit's rows by "
            "time, or set TRAINER_MAX_READINGS to as many"
        )
    n_kept, n_units = len(history), len(history.units)
    told = (
        f"{n_kept:,} of {kept.n_rows:,} rows were read, in {kept.n_stretches:,} stretches "
        f"of {n_units:,} of {kept.n_units:,} units"
    )
    return replace(
        history,
        notes=[*history.notes, told],
        n_beyond=kept.n_rows - kept.n_of_short_units - n_kept,
        n_of_short_units=kept.n_of_short_units,
    )
