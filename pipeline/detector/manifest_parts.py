"""The parts of a detector's manifest, each with its bounds."""

from typing import Annotated, Any, Literal

import msgspec

MAX_CURVE = 256
MAX_UNITS = 200_000
"""With a scaler of their own."""

MAX_RECOVERY = 2**24
MAX_SPAN_VALUES = 2**19
"""Readings of a statistic's span x F: what is kept of each unit's residuals."""
MAX_NAME_CHARS = 1_000
"""Names go into alerts, metrics and lines of the log."""

_LARGEST = 3.4028234663852886e38
Positive = Annotated[int, msgspec.Meta(ge=1)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]
"""Exact as a float too."""
Amount = Annotated[float, msgspec.Meta(ge=0, le=_LARGEST)]
Finite = Annotated[float, msgspec.Meta(ge=-_LARGEST, le=_LARGEST)]
# They become float32: smaller ones would be 0 and be divided by, larger ones infinite.
Divisor = Annotated[float, msgspec.Meta(ge=1.1754943508222875e-38, le=_LARGEST)]
Name = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]


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
    typical: list[Amount]
    limit: Divisor


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
    gain: Finite
    """By how much units' own scalers foretell held-out readings better: nats a value."""
    mean: list[Finite]
    """Of all units pooled: for units that have no scaler of their own."""
    scale: list[Divisor]
    units: Annotated[list[str], msgspec.Meta(max_length=MAX_UNITS)]
    """Those with their own, which stand beside the weights in this order."""


class IncidentPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When scores become an incident, and when it ends."""

    trigger: tuple[Positive, Annotated[int, msgspec.Meta(ge=1, le=64)]]
    """(k, n): k of the last n scores at or above 1.0 open an incident."""
    recovery: Annotated[int, msgspec.Meta(ge=1, le=MAX_RECOVERY)]
    """m: that many scores in a row below 0.85 close it."""


class ThresholdPart(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Where 1.0 lies, and what that was measured to mean."""

    value: Divisor
    """In what the scoring gives."""
    method: Name
    asked_false_alarms_per_unit_day: Amount
    observed_false_alarms: Count
    """Incidents in the calibration part at this threshold."""
    calibration_unit_days: Amount
    """Length of the calibration part, summed over units."""
    expected_false_alarms_per_unit_day: Amount
    at_most_false_alarms_per_unit_day: Amount | None
    """Upper end of the rate's one-sided 95 % Poisson interval; None if unknown."""
    limited_by: Literal["", "history", "max_readings", "scores"]
    """Why the rate asked for is not promised: too short a history to show it, or too short
    what `max_readings` left of it, or scores that make no more incidents before these melt
    into one. Empty where it is promised."""
    score_counts: Annotated[
        list[Annotated[int, msgspec.Meta(ge=0, le=2**53 // MAX_CURVE)]],
        msgspec.Meta(max_length=MAX_CURVE),
    ] = []
    """Of the calibration part, windows by score; see `pipeline.drift.score_bins`."""
    score_psi: Amount = 0.0
    """How far the scores of a quarter of it are from all of them, at most."""


N_QUANTILE_BINS = 10
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]


class UsualPart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What readings were like that were learned from: what live ones are held against.

    Values are scaled as networks see them, each unit's by its own scaler where it has one.
    Per sensor, in the order of `sensors`.
    """

    low: list[Finite]
    high: list[Finite]
    """Smallest and largest value."""
    edges: list[Annotated[list[Finite], msgspec.Meta(max_length=N_QUANTILE_BINS - 1)]]
    """Inner ones of bins that hold about equal shares; a value on one counts above it."""
    shares: list[Annotated[list[Share], msgspec.Meta(max_length=N_QUANTILE_BINS)]]
    """Of the values, in each bin."""
    missing: list[Share]
    """Of the readings, those without a value."""
    longest_still: list[Count]
    """Readings in a row, at most, that repeated the one before them."""
    psi: list[Amount]
    """How far a quarter of the history is from all of it, at most; see `psi`."""


class TrainingPart(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True
):
    """What it was trained on, and how."""

    first_time: Name
    last_time: Name
    n_units: Count
    n_rows: Count
    data_digest: Name
    """SHA-256 over the sensors' names and the rows that were used."""
    n_windows: dict[str, Count]
    """Training windows of a member on average, and held-out ones of all members."""
    n_steps: Count
    losses: dict[str, Finite]
    """Mean training loss at the end, by family."""
    explained: Finite
    """Share of the held-out variance of the scored sensors that reconstructions explain."""
    seed: Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
    settings: dict[str, Any]
    left_out: list[str]
    loss_curves: dict[str, Annotated[list[Finite], msgspec.Meta(max_length=MAX_CURVE)]] = {}
    """Mean training loss by family, of equal parts of the training, in their order."""
    usual: UsualPart | None = None


class FilePart(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file beside the manifest."""

    file: str
    sha256: str
