"""`manifest.json`: everything about a detector that is not its weights."""

import hashlib
from typing import Annotated, Any, Literal

import msgspec

from pipeline.detector.strict import refuse_repeated_names, shortened, shown
from pipeline.errors import DetectorError

SCHEMA_PREFIX = "detector/"
SCHEMA = f"{SCHEMA_PREFIX}2"
MAX_SENSORS = 10_000
MAX_CURVE = 256
MAX_UNITS = 200_000
"""With a scaler of their own."""

Positive = Annotated[int, msgspec.Meta(ge=1)]
# They become float32: smaller ones would be 0 and be divided by, larger ones infinite.
Divisor = Annotated[
    float, msgspec.Meta(ge=1.1754943508222875e-38, le=3.4028234663852886e38)
]


class NetworkPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Networks of one family, and their sizes."""

    family: str
    window: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    hidden: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    latent: Annotated[int, msgspec.Meta(ge=1, le=100_000)]
    members: Annotated[int, msgspec.Meta(ge=1, le=1_000)]


class StatisticPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One statistic of the residuals, see `Statistic`. Per scored sensor, in order."""

    kind: Literal["burst", "shift"]
    span: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    scale: list[Divisor]
    typical: list[Annotated[float, msgspec.Meta(ge=0)]]
    limit: Divisor


Finite = Annotated[float, msgspec.Meta(ge=-3.4028234663852886e38, le=3.4028234663852886e38)]


class SignaturePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What labelled events have in common, see `Signature`. Per scored sensor, in order."""

    feature: Literal["offset", "size"]
    span: Annotated[int, msgspec.Meta(ge=1, le=4096)]
    scale: list[Divisor]
    center: list[Finite]
    directions: Annotated[list[list[Finite]], msgspec.Meta(min_length=1, max_length=16)]
    usual: Finite
    spread: Divisor
    weight: Annotated[float, msgspec.Meta(ge=-1, le=1)]


class ResidualPart(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    omit_defaults=True,
    tag="residual",
    tag_field="by",
):
    """Scores by residuals, see `ResidualScoring`. Per sensor, in the order of `sensors`."""

    trust: list[Annotated[float, msgspec.Meta(ge=0, le=1)]]
    scored: list[bool]
    statistics: Annotated[list[StatisticPart], msgspec.Meta(min_length=1, max_length=32)]
    signatures: Annotated[list[SignaturePart], msgspec.Meta(max_length=4)] = []
    """Left out where no labels were learned from."""


class ElboPart(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag="elbo", tag_field="by"
):
    """Scores by a VAE's ELBO, or by its reconstruction probability, see `ElboScoring`."""

    has_kl: bool
    limit: Divisor


class ScalerPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How readings are scaled. Per sensor, in the order of `sensors`."""

    kind: Literal["pooled", "per unit"]
    """Whether units share one scaler."""
    gain: float
    """By how much units' own scalers foretell held-out readings better: nats a value."""
    mean: list[float]
    """Of all units pooled: for units that have no scaler of their own."""
    scale: list[Divisor]
    units: Annotated[list[str], msgspec.Meta(max_length=MAX_UNITS)]
    """Those with their own, which stand beside the weights in this order."""


class IncidentPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When scores become an incident, and when it ends."""

    trigger: tuple[Positive, Annotated[int, msgspec.Meta(ge=1, le=64)]]
    """(k, n): k of the last n scores at or above 1.0 open an incident."""
    recovery: Positive
    """m: that many scores in a row below 0.85 close it."""


class ThresholdPart(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Where 1.0 lies, and what that was measured to mean."""

    value: Divisor
    """In what the scoring gives."""
    method: str
    asked_false_alarms_per_unit_day: float
    observed_false_alarms: int
    """Incidents in the calibration part at this threshold."""
    calibration_unit_days: float
    """Length of the calibration part, summed over units."""
    expected_false_alarms_per_unit_day: float
    at_most_false_alarms_per_unit_day: float | None
    """Upper end of the rate's one-sided 95 % Poisson interval; None if unknown."""
    limited_by: Literal["", "history", "max_readings", "scores"]
    """Why the rate asked for is not promised: too short a history to show it, or too short
    what `max_readings` left of it, or scores that make no more incidents before these melt
    into one. Empty where it is promised."""
    score_counts: Annotated[list[int], msgspec.Meta(max_length=MAX_CURVE)] = []
    """Of the calibration part, windows by score; see `trainer.score_bins`."""


class TrainingPart(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What it was trained on, and how."""

    first_time: str
    last_time: str
    n_units: int
    n_rows: int
    data_digest: str
    """SHA-256 over the sensors' names and the rows that were used."""
    n_windows: dict[str, int]
    """Training windows of a member on average, and held-out ones of all members."""
    n_steps: int
    losses: dict[str, float]
    """Mean training loss at the end, by family."""
    explained: float
    """Share of the held-out variance of the scored sensors that reconstructions explain."""
    seed: int
    settings: dict[str, Any]
    left_out: list[str]
    loss_curves: dict[str, Annotated[list[float], msgspec.Meta(max_length=MAX_CURVE)]] = {}
    """Mean training loss by family, of equal parts of the training, in their order."""


class FilePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file beside the manifest."""

    file: str
    sha256: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `manifest.json`, less its own digest."""

    schema: str
    name: str
    sensors: Annotated[list[str], msgspec.Meta(min_length=1, max_length=MAX_SENSORS)]
    networks: Annotated[list[NetworkPart], msgspec.Meta(min_length=1, max_length=16)]
    scaler: ScalerPart
    score: ResidualPart | ElboPart
    threshold: ThresholdPart
    incident: IncidentPart
    training: TrainingPart
    versions: dict[str, str]
    weights: FilePart
    golden: FilePart
    reference: FilePart

    @property
    def window(self) -> int:
        """T, readings in a window."""
        return self.networks[0].window

    @property
    def model(self) -> str:
        """The families in it, with the number of networks: `vae x 4 + dae x 4`."""
        return " + ".join(f"{part.family} x {part.members}" for part in self.networks)

    def __post_init__(self) -> None:
        n_sensors = len(self.sensors)
        if len(set(self.sensors)) != n_sensors:
            raise ValueError("sensors are not all different")
        if not len(self.scaler.mean) == len(self.scaler.scale) == n_sensors:
            raise ValueError(f"scaler must have {n_sensors} means and scales")
        if len(set(self.scaler.units)) != len(self.scaler.units):
            raise ValueError("units are not all different")
        if (self.scaler.kind == "per unit") != bool(self.scaler.units):
            raise ValueError(f"scaler is {self.scaler.kind}, which its units are not")
        if len({network.window for network in self.networks}) != 1:
            raise ValueError("networks must all have the same window")
        if isinstance(self.score, ResidualPart):
            _check_residual(self.score, n_sensors)
        if unusable := [name for name in self.sensors if not is_sensor_name(name)]:
            raise ValueError(f"{shown(unusable)} cannot be names of sensors")
        n_over, n_last = self.incident.trigger
        if n_over > n_last:
            raise ValueError(f"trigger {n_over} of {n_last} can never be met")


def _check_residual(score: ResidualPart, n_sensors: int) -> None:
    if not len(score.trust) == len(score.scored) == n_sensors:
        raise ValueError(f"score must have {n_sensors} values of trust and scored")
    n_scored = sum(score.scored)
    if n_scored == 0:
        raise ValueError("score must have a sensor that is scored")
    for statistic in score.statistics:
        if not len(statistic.scale) == len(statistic.typical) == n_scored:
            raise ValueError(f"statistics must be of the {n_scored} sensors scored")
        _check_span(statistic.span)
    for signature in score.signatures:
        rows = (signature.scale, signature.center, *signature.directions)
        if any(len(row) != n_scored for row in rows):
            raise ValueError(f"signatures must be of the {n_scored} sensors scored")
        _check_span(signature.span)


def _check_span(span: int) -> None:
    if span & (span - 1):
        raise ValueError(f"span {span} is not a power of two")


def is_sensor_name(name: str) -> bool:
    """Whether readings can hold a sensor of this name: msgspec, which decodes them, takes
    no quotes, backslashes or control characters in a generated field's name."""
    return name != "" and not any(c in '"\\' or ord(c) < 0x20 for c in name)


def encode(manifest: Manifest) -> bytes:
    """The manifest as indented JSON, with its digest as the first field."""
    fields = {"digest": digest(manifest), **msgspec.to_builtins(manifest)}
    return msgspec.json.format(msgspec.json.encode(fields), indent=2) + b"\n"


def digest(manifest: Manifest) -> str:
    """`sha256:` over all fields, the weights' own digest among them.

    It names the detector in alerts and metrics, and shows that no field was edited.
    """
    # Typed first, as reading it does: a 1 in the place of a float is written 1.0.
    typed = msgspec.convert(msgspec.to_builtins(manifest), Manifest)
    return "sha256:" + hashlib.sha256(msgspec.json.encode(typed)).hexdigest()


def is_of_a_detector(text: bytes) -> bool:
    """Whether this is a detector's manifest, of whatever version and however damaged."""
    try:
        schema = msgspec.json.decode(text, type=dict[str, Any]).get("schema")
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False
    return isinstance(schema, str) and schema.startswith(SCHEMA_PREFIX)


def decode(text: bytes, where: str) -> Manifest:
    """Read a manifest and check it.

    Args:
        text: the file's content.
        where: the file, for messages.

    Raises:
        DetectorError: not JSON, of another schema version, incomplete, or edited.
    """
    try:
        fields = msgspec.json.decode(text, type=dict[str, Any])
        refuse_repeated_names(text, where)
        found_schema = fields.get("schema")
        if found_schema != SCHEMA:
            raise DetectorError(
                f"{where}: expected schema {SCHEMA!r}, got {shown(found_schema)}; "
                "train the detector again with this version"
            )
        stated = fields.pop("digest", None)
        manifest = msgspec.convert(fields, Manifest)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise DetectorError(
            f"{where}: not a detector's manifest: {shortened(error)}"
        ) from error
    if stated != digest(manifest):
        raise DetectorError(
            f"{where}: its content does not match its digest; it was edited or damaged"
        )
    return manifest
