"""Every way in which what was told is not what should have been."""

from collections import Counter
from collections.abc import Mapping, Sequence

from pipeline.alert import decode
from pipeline.records import Record
from tests.chaos.oracle import Told
from tests.chaos.stream import Sent

MAX_SHOWN = 5
REASONS = ("no server answered within", "another producer has this transactional id")
"""For which a worker may end: it was started, or stood still, while Kafka was away."""


def differences(
    told: Told,
    expected: Told,
    sent: Sequence[Sent],
    readings: Sequence[Record],
    may_repeat: bool,
) -> list[str]:
    """Between the two topics and what an undisturbed worker writes to them."""
    found: list[str] = []
    if Counter(r.value for r in readings) != Counter(each.value for each in sent):
        found.append("the topic does not hold what was sent")
    n_poison = sum(each.is_poison for each in sent)
    if len(set(expected.dead_letters)) != n_poison:
        found.append(f"{n_poison} poison, {len(set(expected.dead_letters))} refused")
    found += _between("alerts", told.alerts, expected.alerts, may_repeat)
    found += _between("dead letters", told.dead_letters, expected.dead_letters, may_repeat)
    return found


def ended(exit_codes: Mapping[int, int], errors: Mapping[str, int]) -> list[str]:
    """Workers that ended by themselves, and not for a reason that is one.

    A signal that comes before they listen to any ends them as it ends anything.
    """
    n_expected = sum(
        n for line, n in errors.items() if any(reason in line for reason in REASONS)
    )
    n_other = sum(n for code, n in exit_codes.items() if code not in (0, -9, -15))
    if n_other <= n_expected:
        return []
    return [f"{n_other} workers ended with {dict(exit_codes)}", *map(str, errors)]


def counted(
    before: Mapping[str, float],
    after: Mapping[str, float],
    told_before: Told,
    told: Told,
    sent: Sequence[Sent],
) -> list[str]:
    """Between the workers' counters and what was sent, and told of it, while all was calm.

    Counters of those that were killed are gone: of the time before there are none.
    """
    states = Counter(decode(value).state for value in told.alerts)
    states.subtract(decode(value).state for value in told_before.alerts)
    expected = {
        "pipeline_readings_total": sum(each.n_readings for each in sent),
        "pipeline_readings_late_total": sum(each.is_late for each in sent),
        "pipeline_records_rejected_total": sum(each.is_poison for each in sent),
        "pipeline_alerts_sent_total": sum(states.values()),
        "pipeline_incidents_opened_total": states["opened"],
        "pipeline_incidents_closed_total": states["closed"],
    }
    n_dead = len(told.dead_letters) - len(told_before.dead_letters)
    found = []
    if n_dead != expected["pipeline_records_rejected_total"]:
        found.append(f"{n_dead} dead letters in the calm, expected {expected}")
    for name, n_expected in expected.items():
        n = after.get(name, 0.0) - before.get(name, 0.0)
        if n != n_expected:
            found.append(f"{name} counted {n:g} in the calm, expected {n_expected}")
    return found


def _between(
    what: str, ours: Sequence[object], theirs: Sequence[object], may_repeat: bool
) -> list[str]:
    found = []
    for name, some in (
        ("missing", set(theirs) - set(ours)),
        ("invented", set(ours) - set(theirs)),
        ("repeated", {} if may_repeat else Counter(ours) - Counter(set(ours))),
    ):
        if some:
            found.append(f"{len(some)} {what} {name} of {len(theirs)}")
            found += [f"  {each!r}" for each in sorted(some, key=str)[:MAX_SHOWN]]
    return found
