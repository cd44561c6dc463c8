"""`trainer report` from files to a file: read, review, render, write whole."""

from collections.abc import Callable
from pathlib import Path

from pipeline.detector import artifact
from pipeline.errors import InputError
from pipeline.events import summary_lines
from pipeline.files import check_writable, written_whole
from pipeline.score import Scorer, choose_device
from pipeline.table import read_table
from trainer.incidents import read_alerts
from trainer.page import render, render_alone
from trainer.portrait import portrait_of_history
from trainer.report import Report, review


def write_report(
    detector: Path,
    data: Path | None,
    out: Path,
    alerts: Path | None,
    device: str,
    on_progress: Callable[[float], None] = lambda done: None,
) -> list[str]:
    """Write the page of a detector, on a table if there is one; return it in short.

    Args:
        detector: its folder.
        data: CSV or Parquet, with or without labels. None: the page is of the detector
            alone.
        out: the HTML file; replaced if it is there.
        alerts: alert records, one a line; None computes incidents from the scores.
        device: auto, cpu, cuda or cuda:N.
        on_progress: told the share of readings that are scored, 0 to 1.

    Raises:
        InputError: an input cannot be used, or `out` cannot be written. Nothing is then
            left behind, and a page that was there still is.
    """
    inputs = [path for path in (detector, data, alerts) if path is not None]
    check_writable(out, inputs)
    loaded = artifact.load(detector)
    scorer = Scorer(loaded.detector, choose_device(device))
    if data is None:
        if alerts is not None:
            raise InputError("--alerts: expected the data that they are of before it")
        golden_NF = artifact.load_golden(detector, loaded)
        whole_BTF = artifact.load_whole(detector, loaded)
        portrait = portrait_of_history(loaded, golden_NF, whole_BTF)
        page, said = render_alone(loaded, portrait), []
    else:
        log = None if alerts is None else read_alerts(alerts, loaded.digest)
        report = review(data, read_table(data), loaded, scorer, log, on_progress)
        page, said = render(report), _summary(report)
    # A name may hold half a character, which UTF-8 cannot write.
    content = page.encode("utf-8", errors="replace")
    with written_whole(out, "the page") as file:
        file.write(content.decode("utf-8"))
    return [*said, f"page written: {out} ({len(content) / 1e6:.1f} MB)"]


def _summary(report: Report) -> list[str]:
    if not report.is_labelled:
        return [f"{len(report.incidents)} incidents; the data has no labels"]
    promised = report.loaded.manifest.threshold.expected_false_alarms_per_unit_day
    return summary_lines(report.comparison, promised, report.unit_days)
