"""As much of Prometheus' query language as the rules and dashboards are held against."""

import re
from collections.abc import Iterator, Mapping

# What Grafana puts in for its variables, with a scrape each second and all chosen.
GRAFANA_VARIABLES: Mapping[str, str] = {
    "$__rate_interval": "4s",
    "$__interval": "1s",
    "$__range": "1800s",
    "$job": ".*",
    "$instance": ".*",
}

WORDS = frozenset(
    {
        *("sum", "max", "min", "avg", "count", "group", "topk", "absent", "clamp_min"),
        *("rate", "increase", "deriv", "changes", "max_over_time", "time"),
        *("histogram_quantile", "quantile_over_time", "min_over_time", "vector"),
        *("by", "without", "on", "or", "and", "unless", "group_left", "bool"),
    }
)
"""Of the language, as far as it is used here."""

_GROUPING = re.compile(r"\b(?:by|without|on|group_left)\s*\(([^)]*)\)")
_SELECTION = re.compile(r"\{([^}]*)\}")
_SET_OPERATOR = re.compile(r"\s(?:and|or|unless)(?:\s+on\s*\([^)]*\))?\s")
_COMPARISON = re.compile(r"\s(?:==|!=|>=|<=|>|<)\s")
_NUMBER = re.compile(r"-?[\d.]+")


def as_grafana_sends(expression: str) -> str:
    """The expression with Grafana's variables replaced."""
    for name in sorted(GRAFANA_VARIABLES, key=len, reverse=True):
        expression = expression.replace(name, GRAFANA_VARIABLES[name])
    return expression


def series_in(expression: str) -> set[str]:
    """The names of the series that it asks for."""
    bare = re.sub(r"\{[^}]*\}|\[[^]]*\]|\"[^\"]*\"|\boffset \w+", "", expression)
    bare = _GROUPING.sub("", bare)
    return set(re.findall(r"[a-zA-Z_][\w:]*", bare)) - WORDS


def counters_in_a_rate(expression: str) -> set[str]:
    """The names of the series that it takes the rate, or the increase, of."""
    return set(re.findall(r"(?:rate|increase)\((\w+)", expression))


def labels_in(expression: str) -> set[str]:
    """The labels that it groups by or selects by."""
    grouped = " ".join(_GROUPING.findall(expression))
    selected = " ".join(_SELECTION.findall(expression))
    return {*re.findall(r"\w+", grouped), *re.findall(r"(\w+)\s*[!=]", selected)}


def compared(expression: str) -> Iterator[str]:
    """What the comparisons of an alert are made of: each side that is no number."""
    for condition in _split(expression.strip(), _SET_OPERATOR):
        for side in _split(condition, _COMPARISON):
            if not _NUMBER.fullmatch(side):
                yield side


def _split(expression: str, separator: re.Pattern[str]) -> Iterator[str]:
    """Cut at the separators that stand in no brackets."""
    begin = 0
    for found in separator.finditer(expression):
        before = expression[: found.start()]
        if all(before.count(a) == before.count(b) for a, b in ("()", "[]", "{}")):
            yield expression[begin : found.start()].strip()
            begin = found.end()
    yield expression[begin:].strip()
