"""A comparison in words: what the terminal, the page and JSON say alike."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

from pipeline.alert_log import Incident
from pipeline.compare.agreement import QUANTILES
from pipeline.compare.comparison import Comparison, Found, leads_s, median_s
from pipeline.compare.episodes import Episode, highest
from pipeline.events import duration_text
from pipeline.pages.template import number_text
from pipeline.times import iso_time

SHORT_DIGEST = 19
N_TOP_SENSORS = 3
MIN_SHIFT = 0.01
"""Of a sensor's mean share, to be worth a word."""
FOUND_BY = {"a": "only A", "b": "only B", "both": "both"}


class Row(NamedTuple):
    """One line of figures."""

    what: str
    a: str
    b: str


def figure_rows(comparison: Comparison) -> list[Row]:
    """The figures of both detectors, side by side."""
    a, b = comparison.a, comparison.b
    both = comparison.by("both")
    rows = [
        _row("model", a, b, lambda f: f.loaded.manifest.model),
        _row("digest", a, b, lambda f: f.loaded.digest[:SHORT_DIGEST]),
        _row("sensors, window", a, b, _size),
        _row(
            "readings with a score", a, b, lambda f: f"{f.n_scored:,} of {f.n_readings:,}"
        ),
        _row("incidents", a, b, lambda f: f"{len(f.incidents):,}"),
        Row("  only here", *_numbers(comparison.by("a"), comparison.by("b"))),
        Row("  found by both", *_numbers(both, both)),
        _row("  critical", a, b, lambda f: f"{f.n_critical:,}"),
    ]
    if comparison.labels is not None:
        rows += [
            _row("labelled events found", a, b, _found_text),
            _row("  median delay", a, b, _delay_text),
            _row("false alarms", a, b, lambda f: f"{f.n_false:,}"),
        ]
    what = "incidents" if comparison.labels is None else "false alarms"
    rows += [
        _row(f"{what} per unit and day", a, b, lambda f: number_text(f.false_per_unit_day)),
        _row("  promised", a, b, _promise_text),
    ]
    quantile_2Q = comparison.agreement.quantile_2Q
    rows += [
        Row(f"score, {100 * q:.4g} % below", *map(number_text, (float(of_a), float(of_b))))
        for q, of_a, of_b in zip(QUANTILES, *quantile_2Q, strict=True)
    ]
    rows.append(_row("score, largest", a, b, lambda f: number_text(f.largest_score)))
    return rows


def _row(what: str, a: Found, b: Found, text: Callable[[Found], str]) -> Row:
    return Row(what, text(a), text(b))


def _numbers(of_a: Sequence[Episode], of_b: Sequence[Episode]) -> tuple[str, str]:
    """Incidents in them: of A in these, of B in those."""
    n_a, n_b = sum(len(each.a) for each in of_a), sum(len(each.b) for each in of_b)
    return f"{n_a:,}", f"{n_b:,}"


def _size(found: Found) -> str:
    manifest = found.loaded.manifest
    return f"{len(manifest.sensors)}, {manifest.window}"


def _found_text(found: Found) -> str:
    against = found.against_labels
    return "" if against is None else f"{against.n_found} of {len(against.matches)}"


def _delay_text(found: Found) -> str:
    against = found.against_labels
    if against is None or not against.n_found:
        return "–"
    return duration_text(against.median_delay_s)


def _promise_text(found: Found) -> str:
    at_most = found.loaded.manifest.threshold.at_most_false_alarms_per_unit_day
    text = number_text(found.promised_per_unit_day)
    return text if at_most is None else f"{text}, at most {number_text(at_most)}"


def verdict(comparison: Comparison) -> str:
    """In one sentence. What overlaps counts as one."""
    n_a, n_b, n_both = (len(comparison.by(side)) for side in ("a", "b", "both"))
    return f"incidents found by both: {n_both:,}, by A alone: {n_a:,}, by B alone: {n_b:,}"


def summary_lines(comparison: Comparison) -> list[str]:
    """What the figures do not say."""
    a, b = comparison.a, comparison.b
    lines = [
        f"{a.n_readings:,} readings, units: {max(a.n_units, b.n_units):,}, "
        f"{_time(comparison.first_s)} to {_time(comparison.last_s)}, "
        f"{number_text(a.unit_days)} unit-days",
    ]
    if a.n_rejected or b.n_rejected:
        lines.append(f"records that cannot be read: A {a.n_rejected:,}, B {b.n_rejected:,}")
    if comparison.n_warm_up:
        lines.append(f"{comparison.n_warm_up:,} records before that filled the windows")
    n_units, n_times = (
        comparison.n_events_of_other_units,
        comparison.n_events_at_other_times,
    )
    if n_units or n_times:
        lines.append(
            f"labelled events left out: {n_units:,} of units without readings, {n_times:,} "
            "of times without readings of their unit"
        )
    agreement = comparison.agreement
    sample = len(agreement.score_S2)
    of = f"{agreement.n_readings:,} readings"
    if sample < agreement.n_readings:
        of = f"a sample of {sample:,} of {of}"
    lines.append(
        f"rank correlation of scores: {number_text(agreement.rank_correlation)}, over {of}"
    )
    both = comparison.by("both")
    if both:
        lines.append(lead_text(both))
        lines.append(
            f"another sensor is blamed most in {comparison.n_other_sensor_first:,} of the "
            f"{len(both):,} found by both"
        )
    shifted = [b for b in comparison.blame if abs(b.share_b - b.share_a) >= MIN_SHIFT]
    if shifted:
        lines.append(
            "blamed otherwise, A and B: "
            + ", ".join(
                f"{each.sensor} {each.share_a:.0%} and {each.share_b:.0%}"
                for each in shifted[:N_TOP_SENSORS]
            )
        )
    return lines


def lead_text(both: Sequence[Episode]) -> str:
    """When B opened, as against A."""
    all_s = leads_s(both)
    earlier = [lead for lead in all_s if lead > 0]
    later = [-lead for lead in all_s if lead < 0]
    parts = [f"{len(all_s) - len(earlier) - len(later):,} at the same time"]
    for word, some in (("earlier", earlier), ("later", later)):
        median = f" (median {duration_text(median_s(some))})" if some else ""
        parts.append(f"{len(some):,} {word}{median}")
    return f"of those found by both, B opened {', '.join(parts)}"


def opened_text(episode: Episode) -> str:
    """When B opened, as against A, for one episode."""
    lead_s = episode.lead_s
    if lead_s is None:
        return ""
    if lead_s == 0:
        return "at the same time"
    return f"{duration_text(abs(lead_s))} {'earlier' if lead_s > 0 else 'later'}"


def peak_text(incidents: Sequence[Incident]) -> str:
    """The highest score of one detector in an episode, and how severe that is."""
    if not incidents:
        return "–"
    peak = highest(incidents).peak
    return f"{number_text(peak.peak_score)} {peak.severity}"


def sensors_text(incidents: Sequence[Incident]) -> str:
    """What one detector blames in an episode."""
    if not incidents:
        return "–"
    return ", ".join(
        f"{sensor.name} {sensor.contribution:.0%}"
        for number, sensor in enumerate(highest(incidents).peak.sensors[:N_TOP_SENSORS])
        if number == 0 or sensor.contribution >= MIN_SHIFT
    )


def lasted_text(episode: Episode) -> str:
    """From its begin to its end."""
    if math.isinf(episode.end_s):
        return "still open"
    return duration_text(episode.end_s - episode.begin_s)


def _time(time_s: float) -> str:
    return iso_time(time_s) if math.isfinite(time_s) else "–"
