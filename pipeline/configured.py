"""What a command begins with: its settings, and logs as they say."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pipeline.configure import (
    parse_assignments,
    read_settings,
    refuse_secrets,
    secret_values,
)
from pipeline.logs import configure_logs
from pipeline.settings import ConnectionSettings, ReplaySettings, Settings

SettingsT = TypeVar("SettingsT", Settings, ReplaySettings, ConnectionSettings)


def configured(
    settings_type: type[SettingsT],
    named: Mapping[str, object],
    assignments: list[str] | None,
    env_file: Path | None,
    secrets_dir: Path | None,
) -> SettingsT:
    """The settings of a command. From here on it logs as they say.

    Args:
        settings_type: what to read.
        named: options with a name of their own, by dotted name.
        assignments: the others, each NAME=VALUE.
        env_file: see `read_settings`.
        secrets_dir: see `read_settings`.

    Raises:
        InputError: a setting is missing or wrong, or is not one for a command line.
    """
    overrides = {**named, **parse_assignments(assignments or [])}
    refuse_secrets(settings_type, overrides)
    settings = read_settings(settings_type, overrides, env_file, secrets_dir)
    log = settings.log
    configure_logs(log.level, log.format, secrets=secret_values(settings))
    return settings
