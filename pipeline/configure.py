"""Reading settings for `pipeline` and `trainer`: where from, and what is said if wrong.

In order of precedence: the command line, environment variables, an env file, a folder of
secrets (one file per setting), the defaults.
"""

import difflib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeAlias, TypeVar, get_args

from dotenv import dotenv_values
from pydantic import (
    BaseModel,
    PlainSerializer,
    SecretStr,
    SerializationInfo,
    ValidationError,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    NestedSecretsSettingsSource,
    PydanticBaseSettingsSource,
    SettingsError,
)

from pipeline.errors import InputError

SettingsT = TypeVar("SettingsT", bound="SourcedSettings")

REVEALED = {"secrets": "revealed"}
"""As `context` of `model_dump`: with secrets as they are, for a process of ours."""


def _dumped(secret: SecretStr, info: SerializationInfo) -> str:
    return secret.get_secret_value() if info.context == REVEALED else str(secret)


Secret: TypeAlias = Annotated[SecretStr, PlainSerializer(_dumped, when_used="unless-none")]
"""A setting that nothing prints, logs or dumps but who asks for `REVEALED`."""


class SourcedSettings(BaseSettings):
    """Settings that nested names reach also in a folder of secrets."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The sources, the strongest first."""
        return (
            init_settings,
            env_settings,
            dotenv_settings,
            NestedSecretsSettingsSource(file_secret_settings),
        )


def read_settings(
    settings_type: type[SettingsT],
    overrides: Mapping[str, object],
    env_file: Path | None = None,
    secrets_dir: Path | None = None,
) -> SettingsT:
    """Build the settings once, from all their sources.

    Args:
        settings_type: what to build.
        overrides: values of the command line, by dotted name (`kafka.group_id`).
        env_file: lines of `NAME=value`.
        secrets_dir: a folder with one file per setting, named like the variable.

    Raises:
        InputError: a value is missing or wrong, named as its environment variable.
    """
    prefix = settings_type.model_config.get("env_prefix", "")
    if env_file is not None and not env_file.is_file():
        raise InputError(f"--env-file {env_file}: no such file")
    if secrets_dir is not None and not secrets_dir.is_dir():
        raise InputError(f"--secrets-dir {secrets_dir}: no such folder")
    for dotted in overrides:
        if dotted.split(".")[0] not in settings_type.model_fields:
            raise InputError(f"{dotted} is no setting")
    try:
        sources: dict[str, Any] = {"_env_file": env_file, "_secrets_dir": secrets_dir}
        return settings_type(**sources, **_nested(overrides))
    except ValidationError as error:
        # Values stay out of the message: one of them may be a secret.
        lines = [_line(prefix, one) for one in error.errors(include_input=False)]
        raise InputError("; ".join(lines)) from None
    except SettingsError as error:
        # `PIPELINE_KAFKA=x`: a group of settings, given as if it were one.
        raise InputError(f"a variable cannot be read: {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        # Not the error itself, which quotes what it could not decode.
        what = getattr(error, "strerror", None) or "not text in UTF-8"
        names = [str(place) for place in (env_file, secrets_dir) if place is not None]
        raise InputError(f"{' or '.join(names)} cannot be read: {what}") from None


def parse_assignments(assignments: list[str]) -> dict[str, str]:
    """`["kafka.group_id=pumps"]` of the command line as a mapping.

    Raises:
        InputError: one of them is not NAME=VALUE.
    """
    parsed: dict[str, str] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name:
            # Not repeated: it may be half of a secret.
            raise InputError("--set: expected NAME=VALUE, for example kafka.group_id=pumps")
        parsed[name.strip().lower()] = value
    return parsed


def refuse_secrets(
    settings_type: type[BaseSettings], overrides: Mapping[str, object]
) -> None:
    """Raise InputError if a secret is among what the command line sets.

    Every user of the machine can read a command line.
    """
    prefix = settings_type.model_config.get("env_prefix", "")
    given = {prefix + dotted.upper().replace(".", "__") for dotted in overrides}
    if exposed := sorted(given & set(_secrets(settings_type, prefix))):
        raise InputError(
            f"{exposed[0]}: not on the command line, which others can read; "
            "set the variable, or put it in a file for --env-file or --secrets-dir"
        )


def secret_values(settings: BaseModel) -> list[str]:
    """The secrets among these settings."""
    values = []
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, SecretStr):
            values.append(value.get_secret_value())
        elif isinstance(value, BaseModel):
            values.extend(secret_values(value))
    return values


def unknown_variables(
    settings_type: type[SourcedSettings],
    environ: Mapping[str, str],
    env_file: Path | None = None,
    secrets_dir: Path | None = None,
) -> list[str]:
    """A line for each name with our prefix that sets nothing: a typing error, mostly.

    Looks at all that `read_settings` reads: variables, the env file, the secrets' folder.

    Only a warning's worth: Kubernetes invents such names too, one per service.
    """
    prefix = settings_type.model_config.get("env_prefix", "")
    known = [variable for variable, _, _ in documented(settings_type)]
    lines = []
    names = set(environ)
    if env_file is not None:
        names |= dotenv_values(env_file).keys()
    if secrets_dir is not None:
        names |= {path.name for path in secrets_dir.iterdir()}
    for variable in sorted(names):
        if not variable.upper().startswith(prefix) or variable.upper() in known:
            continue
        close = difflib.get_close_matches(variable.upper(), known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        lines.append(f"{variable} is no setting{hint}")
    return lines


def documented(
    settings_type: type[BaseSettings],
) -> Iterator[tuple[str, str, str]]:
    """Every setting: its variable, its default (`required` if none) and its meaning."""
    prefix = settings_type.model_config.get("env_prefix", "")
    yield from _documented(settings_type, prefix)


def _documented(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _documented(inner, f"{prefix}{name.upper()}__")
            continue
        default = "required" if field.is_required() else _as_text(field.default)
        yield f"{prefix}{name.upper()}", default, field.description or ""


def _secrets(model: type[BaseModel], prefix: str) -> Iterator[str]:
    """The variables that hold a secret."""
    for name, field in model.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            yield from _secrets(inner, f"{prefix}{name.upper()}__")
        elif _holds_secret(inner):
            yield prefix + name.upper()


def _holds_secret(annotation: object) -> bool:
    return annotation is SecretStr or any(map(_holds_secret, get_args(annotation)))


def _as_text(default: Any) -> str:
    return "" if default is None else str(default)


def _nested(overrides: Mapping[str, object]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for dotted, value in overrides.items():
        *parents, name = dotted.split(".")
        level = nested
        for parent in parents:
            level = level.setdefault(parent, {})
            if not isinstance(level, dict):
                raise InputError(f"{dotted}: {parent} is given a value of its own as well")
        level[name] = value
    return nested


def _line(prefix: str, error: ErrorDetails) -> str:
    name = prefix + "__".join(str(part).upper() for part in error["loc"])
    if error["type"] == "missing":
        return f"{name} is not set"
    if error["type"] == "extra_forbidden":
        return f"{name} is no setting"
    message = error["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if error["loc"] else message
