"""Every knob of the worker. Built in `__main__`; nothing else reads the environment.

What belongs to the trained detector (window, sensors, threshold) is not a setting.
"""

import re
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, field_validator
from pydantic_settings import SettingsConfigDict

from pipeline.configure import SourcedSettings
from pipeline.settings_kafka import PART, KafkaSettings
from pipeline.trigger import IncidentRule
from pipeline.window import UNIT_IDLE_S

__all__ = ["KafkaSettings", "Settings"]

_COLLECTOR = re.compile(r"https?://[^\s/@?#]+(/[^\s?#]*)?")


class PollSettings(BaseModel):
    """How much is taken from Kafka at a time. A batch is what one poll returned."""

    model_config = PART

    max_records: int = Field(default=10_000, ge=1)
    """Largest batch. Larger is faster under load, until memory runs out."""

    timeout_s: float = Field(default=0.25, gt=0, le=2)
    """Longest a quiet topic is waited on. Adds nothing to the latency of a busy one."""


class DecodeSettings(BaseModel):
    """What is still taken for a reading."""

    model_config = PART

    max_record_bytes: int = Field(default=1_048_576, ge=1)
    """A larger record is dead-lettered unread."""

    max_ahead_s: float = Field(default=366 * 86_400.0, gt=0)
    """How far a reading's time may lie ahead of its record's Kafka timestamp. One reading
    from the far future would make every later one of its unit late."""


class RejectSettings(BaseModel):
    """When bad records stop the worker instead of being dead-lettered one by one."""

    model_config = PART

    max_fraction: float = Field(default=0.5, gt=0, le=1)
    """Largest share of a period's records that may be unreadable; 1 never stops."""

    min_records: int = Field(default=100, ge=1)
    """A share means little among fewer records than this."""

    period_s: float = Field(default=60.0, gt=0)
    """Length of a period."""


class IncidentSettings(BaseModel):
    """Overrides of the rule that the detector was calibrated with."""

    model_config = PART

    trigger: str | None = Field(default=None, pattern=r"^\d{1,2}/\d{1,2}$")
    """`3/5`: 3 of the last 5 scores at or above 1.0 open an incident. Empty: the detector's
    own. Another rule has another rate of false alarms than the one that was calibrated."""

    recovery: int | None = Field(default=None, ge=1)
    """So many scores in a row below 0.85 close it. Empty: the detector's own."""

    @field_validator("trigger", "recovery", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("trigger")
    @classmethod
    def _trigger_can_be_met(cls, trigger: str | None) -> str | None:
        if trigger is not None:
            parse_trigger(trigger)
        return trigger

    def rule(self, calibrated: IncidentRule) -> IncidentRule:
        """The rule to go by: `calibrated`, with what is set here in its place."""
        rule = calibrated
        if self.trigger is not None:
            n_over, n_last = parse_trigger(self.trigger)
            rule = rule._replace(n_over=n_over, n_last=n_last)
        if self.recovery is not None:
            rule = rule._replace(n_recovery=self.recovery)
        return rule


class AlertSettings(BaseModel):
    """What an alert holds."""

    model_config = PART

    max_sensors: int = Field(default=5, ge=1)
    """Sensors named in an alert, those with the largest contribution first."""

    embedding: bool = False
    """Whether an alert holds the latent vector of its window, for `trainer similar`."""


class HttpSettings(BaseModel):
    """One port for `/metrics`, `/healthz` and `/readyz`."""

    model_config = PART

    host: str = "0.0.0.0"  # noqa: S104 - Prometheus and probes come from outside
    """Address to listen on."""

    port: int = Field(default=9100, ge=0, le=65_535)
    """0 takes a free one and logs it."""

    max_turn_s: float = Field(default=300.0, gt=0)
    """`/healthz` fails once a turn of the loop has taken longer than this: longer than a
    slow broker may take to acknowledge."""


class DriftSettings(BaseModel):
    """How recent readings are held against those that the detector was made of."""

    model_config = PART

    period_s: float = Field(default=3_600.0, gt=0)
    """What shares of values that are missing, out of range or stuck are taken over, and
    longer where fewer than 100 readings come in it."""

    psi_period_s: float = Field(default=604_800.0, gt=0)
    """What distributions are compared over, and longer where fewer than 1000 readings come
    in it. Those of a night differ from those of a week without any drift."""

    silent_after_s: float = Field(default=3_600.0, gt=0)
    """A unit of which no reading was taken for so long, nor for five times its usual step,
    counts as silent: none came, or all were late."""

    max_sensors: int = Field(default=50, ge=0)
    """So many of the detector's sensors, the first ones, have series of their own. All are
    counted in `pipeline_sensors_drifting`."""


class LogSettings(BaseModel):
    """What is logged, to standard error."""

    model_config = PART

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""

    format: Literal["auto", "json", "text"] = "auto"
    """`auto`: text on a terminal, JSON elsewhere."""


class TracesSettings(BaseModel):
    """Traces of batches, by OpenTelemetry. They need the extra `otel`."""

    model_config = PART

    endpoint: str = ""
    """Collector that takes OTLP over HTTP, as `http://collector:4318`. Empty: no traces."""

    share: float = Field(default=0.1, ge=0, le=1)
    """Of batches that are traced, chosen by chance."""

    @field_validator("endpoint")
    @classmethod
    def _holds_no_secret(cls, endpoint: str) -> str:
        # It is logged where a collector does not answer.
        if endpoint and not _COLLECTOR.fullmatch(endpoint):
            raise ValueError(
                "expected http://host:4318 or https://, maybe with a path, and neither "
                "user, query (?) nor fragment (#): it is logged. What the collector asks "
                "for goes into OTEL_EXPORTER_OTLP_HEADERS, as authorization=..."
            )
        return endpoint


class ConnectionSettings(SourcedSettings):
    """What commands need that only speak to Kafka: those of the worker, less the rest."""

    model_config = SettingsConfigDict(
        env_prefix="PIPELINE_",
        env_nested_delimiter="__",
        frozen=True,
        hide_input_in_errors=True,
        extra="ignore",
        use_attribute_docstrings=True,
    )

    kafka: KafkaSettings = KafkaSettings()
    log: LogSettings = LogSettings()


class ReplaySettings(ConnectionSettings):
    """What commands need that read readings again as the worker does: those of the worker,
    less the rest, and less the detector, which they are given."""

    device: str = "auto"
    max_units: int = Field(default=100_000, ge=1)
    max_state_bytes: int = Field(default=2 * 2**30, ge=2**20)
    unit_idle_s: float = Field(default=UNIT_IDLE_S, gt=0)
    decode: DecodeSettings = DecodeSettings()
    incident: IncidentSettings = IncidentSettings()


class Settings(SourcedSettings):
    """Everything `pipeline run` can be told.

    `PIPELINE_POLL__MAX_RECORDS=500` sets `poll.max_records`.
    """

    model_config = SettingsConfigDict(
        env_prefix="PIPELINE_",
        env_nested_delimiter="__",
        frozen=True,
        hide_input_in_errors=True,
        # An env file or a folder of secrets may be shared with other programs.
        extra="ignore",
        use_attribute_docstrings=True,
    )

    detector: Path
    """Folder that `trainer fit` wrote, or a link to one."""

    reload_every_s: float = Field(default=5.0, ge=0)
    """Between two looks whether that folder holds another detector, which is then taken
    without a restart, within two looks; 0 never looks."""

    shadow: Path | None = None
    """Folder of a second detector, to score the same readings with and publish nothing: the
    metrics say how its incidents differ. Twice the work. Empty: none."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""

    threads: int = Field(default=1, ge=1)
    """CPU threads of torch. Networks of the usual size gain nothing from a second one, and
    lose much where other processes want the same cores."""

    processes: int = Field(default=1, ge=1, le=64)
    """Worker processes, which share the partitions, behind one port and one exit code. One
    without a partition is never ready, so no more than there are partitions."""

    max_units: int = Field(default=100_000, ge=1)
    """Units whose state is kept, by each process. Records of further ones are refused and
    dead-lettered."""

    unit_idle_s: float = Field(default=UNIT_IDLE_S, gt=0)
    """A reading more than this after the one before it of its unit has the unit start anew:
    no window, score or count of scores reaches back beyond it. An open incident stays open.
    Must be longer than the usual time between two readings of a unit."""

    max_state_bytes: int = Field(default=2 * 2**30, ge=2**20)
    """Memory for the units' windows, shared out among the processes. Where a detector's are
    so large that `max_units` of them would take more, fewer units are kept."""

    @field_validator("shadow", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    kafka: KafkaSettings = KafkaSettings()
    poll: PollSettings = PollSettings()
    decode: DecodeSettings = DecodeSettings()
    rejects: RejectSettings = RejectSettings()
    incident: IncidentSettings = IncidentSettings()
    alert: AlertSettings = AlertSettings()
    drift: DriftSettings = DriftSettings()
    http: HttpSettings = HttpSettings()
    log: LogSettings = LogSettings()
    traces: TracesSettings = TracesSettings()


def parse_trigger(trigger: str) -> tuple[int, int]:
    """`3/5` as (3, 5).

    Raises:
        ValueError: not of that form, or a trigger that could never be met.
    """
    n_over, slash, n_last = trigger.partition("/")
    if not (slash and n_over.isdecimal() and n_last.isdecimal()):
        raise ValueError(f"expected k/n, for example 3/5, got {trigger!r}")
    if not 1 <= int(n_over) <= int(n_last) <= 64:
        raise ValueError(f"expected k/n with 1 <= k <= n <= 64, got {trigger}")
    return int(n_over), int(n_last)
