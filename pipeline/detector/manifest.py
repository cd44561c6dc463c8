"""`manifest.json`: everything about a detector that is not its weights."""

import hashlib
from typing import Annotated, Any

import msgspec

from pipeline.detector.manifest_parts import (
    MAX_SPAN_VALUES,
    N_QUANTILE_BINS,
    ElboPart,
    FilePart,
    IncidentPart,
    Name,
    NetworkPart,
    ResidualPart,
    ScalerPart,
    ThresholdPart,
    TrainingPart,
    UsualPart,
)
from pipeline.detector.strict import refuse_repeated_names, shortened, shown
from pipeline.errors import DetectorError

SCHEMA_PREFIX = "detector/"
SCHEMA = f"{SCHEMA_PREFIX}2"
MAX_SENSORS = 10_000
MAX_CONTAINERS = 500_000
"""Objects and lists in the text, which take 20 times its memory. There are no more than a
few for each sensor; brackets in units' names count with them."""


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole of `manifest.json`, less its own digest."""

    schema: str
    name: Name
    sensors: Annotated[list[Name], msgspec.Meta(min_length=1, max_length=MAX_SENSORS)]
    networks: Annotated[list[NetworkPart], msgspec.Meta(min_length=1, max_length=16)]
    scaler: ScalerPart
    score: ResidualPart | ElboPart
    threshold: ThresholdPart
    incident: IncidentPart
    training: TrainingPart
    versions: dict[Name, Name]
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
        if self.training.usual is not None:
            _check_usual(self.training.usual, n_sensors)
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
        _check_span(statistic.span, n_sensors)
    for signature in score.signatures:
        rows = (signature.scale, signature.center, *signature.directions)
        if any(len(row) != n_scored for row in rows):
            raise ValueError(f"signatures must be of the {n_scored} sensors scored")
        _check_span(signature.span, n_sensors)


def _check_usual(usual: UsualPart, n_sensors: int) -> None:
    of_sensors = [getattr(usual, name) for name in usual.__struct_fields__]
    if any(len(values) != n_sensors for values in of_sensors):
        raise ValueError(f"usual readings must be of the {n_sensors} sensors")
    n_edges = {len(edges) for edges in usual.edges}
    if n_edges != {N_QUANTILE_BINS - 1} or {len(s) for s in usual.shares} != {
        N_QUANTILE_BINS
    }:
        raise ValueError(f"usual values must be in {N_QUANTILE_BINS} bins a sensor")


def _check_span(span: int, n_sensors: int) -> None:
    if span & (span - 1):
        raise ValueError(f"span {span} is not a power of two")
    if span > 1 and span * n_sensors > MAX_SPAN_VALUES:
        raise ValueError(
            f"span {span} of {n_sensors} sensors is longer than {MAX_SPAN_VALUES} values"
        )


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
    if text.count(b"{") + text.count(b"[") > MAX_CONTAINERS:
        raise DetectorError(f"{where}: not a detector's manifest: too many lists in it")
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
