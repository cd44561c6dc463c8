"""How it looks."""

import io
import json
import re

import pytest
from rich.cells import cell_len
from rich.console import Console

from pipeline.alert import decode
from pipeline.follow.incidents import Incidents, Wanted
from pipeline.follow.show import Frame, alert_line, json_line, open_lines, screen, totals
from tests.alerts import BEGIN_S, alert_json, course

EVIL = "\x1b[2J\x1b]0;title\x07[bold red]:boom: \u202egnp"


def shown(
    incidents: Incidents,
    n_lines: int = 40,
    has_caught_up: bool = True,
    width_cells: int = 120,
    since_s: float = 0.0,
) -> str:
    """What a terminal of this size gets an hour after the incidents opened."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=True, width=width_cells, markup=False)
    frame = Frame(width_cells, n_lines, BEGIN_S + 3_600)
    console.print(screen(incidents, "alerts", frame, since_s, has_caught_up))
    return file.getvalue()


def of(*values: bytes) -> Incidents:
    incidents = Incidents(Wanted())
    for value in values:
        incidents.take(value)
    return incidents


def without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def test_an_open_incident_is_a_row() -> None:
    text = without_colours(shown(of(*course(1, n_updates=2)[:-1])))

    (row,) = [line for line in text.splitlines() if "pump-7" in line]
    words = row.split()
    assert words[:2] == ["pump-7", "critical"]
    assert words[-3:] == ["3.50", "▄▆█", "vibration"]
    assert "1 open, 1 of them critical" in text


def test_without_any_it_says_so_once_all_is_read() -> None:
    assert "no incident is open" in shown(of())
    assert "no incident is open" not in shown(of(), has_caught_up=False)


def test_of_what_was_not_read_it_says_nothing() -> None:
    text = without_colours(shown(of(), since_s=1_795_000_000.0))

    assert "no incident is open that was told of since 2026-11-18T11:06:40Z" in text


def test_an_open_incident_is_open_until_now_and_a_closed_one_was_until_its_end() -> None:
    text = without_colours(shown(of(alert_json(1, unit="fan"), *course(2))))

    for unit, duration in (("fan", "60 min"), ("pump-7", "17 min")):
        (line,) = [line for line in text.splitlines() if line.startswith(unit)]
        assert duration in line


@pytest.mark.parametrize(
    ("width_cells", "unit"),
    [(80, "x" * 31), (80, "ポ" * 40), (60, "x" * 31), (40, "x" * 31), (30, "ポ" * 40)],
)
def test_severity_and_peak_are_told_in_full_however_narrow_it_is(
    width_cells: int, unit: str
) -> None:
    incidents = of(alert_json(1, unit=unit, score=12.34), alert_json(2, unit="fan"))

    text = without_colours(shown(incidents, width_cells=width_cells))

    rows = [line for line in text.splitlines() if line[:1] == unit[0] or line[:3] == "fan"]
    for line, said in zip(rows, ("critical", "warning"), strict=True):
        assert said in line.split()
        assert {"12.34", "1.50"} & set(line.split())
        assert cell_len(line) <= width_cells


def test_on_eighty_columns_there_is_room_for_a_long_name_and_its_sensors() -> None:
    text = without_colours(shown(of(alert_json(unit="x" * 31)), width_cells=80))

    (row,) = [line for line in text.splitlines() if line.startswith("x")]
    assert row.split() == ["x" * 31, "warning", "60", "min", "1.50", "vibration"]


def test_scores_go_first_where_there_is_no_room() -> None:
    incidents = of(*course(1, n_updates=14)[:-1])

    wide, narrow = (shown(incidents, width_cells=width) for width in (120, 72))

    assert "█" in wide
    assert "█" not in narrow
    assert "2026-11-18" in narrow
    assert "vibration" in narrow


def test_it_fits_the_terminal_and_counts_the_rest() -> None:
    incidents = of(*(alert_json(n, unit=f"pump-{n}") for n in range(500)))
    for number in range(500, 540):
        for value in course(number):
            incidents.take(value)

    text = shown(incidents, n_lines=30)

    assert len(text.splitlines()) <= 30
    assert len(shown(incidents, n_lines=30, width_cells=40).splitlines()) <= 30
    n_shown = len(re.findall(r"pump-\d+ +", text.partition("closed lately")[0]))
    assert f"and {500 - n_shown} more are open" in text


def test_names_of_others_give_a_terminal_no_orders() -> None:
    incidents = of(alert_json(unit=EVIL, sensor=EVIL))
    alert = decode(alert_json(unit=EVIL, sensor=EVIL))

    for text in (
        without_colours(shown(incidents)),
        *open_lines(incidents, 0.0),
        alert_line(alert),
        json_line(alert_json(unit=EVIL, sensor=EVIL), alert),
    ):
        assert re.search(r"[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", text) is None
    assert "[bold red]:boom:" in alert_line(alert)


def test_a_line_of_json_has_what_this_version_does_not_know() -> None:
    value = alert_json(site="nörth\n")

    line = json_line(value, decode(value))

    assert line.isascii()
    assert "\n" not in line
    assert json.loads(line) == json.loads(value)


def test_a_number_that_python_does_not_read_is_no_reason_to_end() -> None:
    value = alert_json(huge=0).replace(b'"huge": 0', b'"huge": ' + b"9" * 5_000)

    assert json.loads(json_line(value, decode(value)))["unit"] == "pump-7"


def test_lines_name_the_worst_first_and_end_with_the_totals() -> None:
    lines = list(open_lines(of(alert_json(1), alert_json(2, unit="fan", score=3)), 0.0))

    assert len(lines) == 3
    assert "fan" in lines[0]
    assert lines[0].startswith("critical")
    assert lines[2].startswith("2 open, 1 of them critical")


def test_the_totals_tell_what_was_left_out() -> None:
    text = totals(of(alert_json(1), alert_json(1), b"junk"), 1_795_000_000.5)

    assert text == (
        "1 open, 0 of them critical; 0 closed, of 1 told of since 2026-11-18T11:06:40Z; "
        "1 repeats; 1 records that are no alerts"
    )
