"""Past incidents that looked like one."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from pipeline.alert import Alert, decode
from tests.trainer.reporting import alert_line
from tests.trainer.training import Command
from trainer.labels.lines import MAX_RECORD_BYTES
from trainer.latent.similar import look_of, similarity

DIGEST = f"sha256:{'0' * 64}"


def alert(
    opened: int,
    sensors: Sequence[tuple[str, float]] = (("heat", 1.0),),
    embedding: Sequence[float] | None = None,
    peak: float = 1.5,
    digest: str = DIGEST,
    unit: str = "pump-7",
) -> dict[str, Any]:
    """The alert of an incident that opened at this reading."""
    fields: dict[str, Any] = json.loads(alert_line(digest, opened, None, unit))
    fields["sensors"] = [
        {"name": name, "contribution": share, "observed": 1.0, "expected": 2.0}
        for name, share in sensors
    ]
    fields["peak_score"] = peak
    if embedding is not None:
        fields["embedding"] = list(embedding)
    return fields


def alert_of(opened: int, **parts: Any) -> Alert:
    return decode(json.dumps(alert(opened, **parts)).encode())


def archive(tmp_path: Path, *alerts: dict[str, Any]) -> Path:
    path = tmp_path / "alerts.jsonl"
    path.write_text("".join(json.dumps(each) + "\n" for each in alerts))
    return path


def found(run_trainer: Command, *arguments: str) -> list[dict[str, Any]]:
    done = run_trainer("similar", *arguments, "--json")
    assert done.returncode == 0, done.stderr
    similar: list[dict[str, Any]] = json.loads(done.stdout)["similar"]
    return similar


def test_the_most_alike_comes_first_with_its_verdict(
    run_trainer: Command, tmp_path: Path
) -> None:
    path = archive(
        tmp_path,
        alert(1, [("heat", 0.9), ("flow", 0.1)]),
        alert(2, [("flow", 1.0)]),
        alert(3, [("heat", 0.5), ("flow", 0.5)]),
        alert(9, [("heat", 1.0)]),
    )
    feedback = tmp_path / "feedback.jsonl"
    feedback.write_text(
        '{"incident_id": "pump-7-1", "verdict": "true", "note": "bearing", "who": "ann",'
        ' "when": "2026-03-12T10:00:00Z"}\n'
        '{"incident_id": "pump-7-1", "verdict": "false", "who": "bob",'
        ' "when": "2026-03-12T09:00:00Z"}\n'
    )

    similar = found(run_trainer, str(path), "--feedback", str(feedback))

    assert [each["incident_id"] for each in similar] == ["pump-7-1", "pump-7-3", "pump-7-2"]
    assert [each["verdict"] for each in similar] == ["true: bearing", None, None]
    assert [each["similarity"] for each in similar] == [0.9939, 0.7071, 0.0]


def test_only_what_opened_before_is_compared(run_trainer: Command, tmp_path: Path) -> None:
    path = archive(tmp_path, alert(1), alert(5), alert(9))

    similar = found(run_trainer, str(path), "pump-7-5")

    assert [each["incident_id"] for each in similar] == ["pump-7-1"]


def test_an_incident_is_what_it_was_at_its_peak(
    run_trainer: Command, tmp_path: Path
) -> None:
    path = archive(
        tmp_path,
        alert(1, [("flow", 1.0)], peak=1.1),
        alert(1, [("heat", 1.0)], peak=9.0),
        alert(1, [("flow", 1.0)], peak=1.2),
        alert(9, [("heat", 1.0)]),
    )

    [similar] = found(run_trainer, str(path))

    assert similar["similarity"] == 1.0


def test_of_many_incidents_the_best_are_kept(run_trainer: Command, tmp_path: Path) -> None:
    others = [alert(n, [("flow", 1.0)], unit=f"u{n}") for n in range(1_500)]
    path = archive(tmp_path, alert(7), *others, alert(8), *others, alert(2_000))

    similar = found(run_trainer, str(path), "-n", "2")

    assert [each["incident_id"] for each in similar] == ["pump-7-7", "pump-7-8"]


def test_latent_vectors_tell_apart_what_sensors_do_not() -> None:
    query = look_of(alert_of(1, embedding=(1.0, 0.0)))
    near = look_of(alert_of(2, embedding=(2.0, 0.1)))
    far = look_of(alert_of(3, embedding=(-1.0, 0.0)))

    assert similarity(query, near) > similarity(query, far)


def test_latent_vectors_of_another_detector_are_not_compared() -> None:
    query = look_of(alert_of(1, embedding=(1.0, 0.0)))
    other = look_of(alert_of(2, embedding=(-1.0, 0.0), digest=f"sha256:{'1' * 64}"))

    assert similarity(query, other) == pytest.approx(1.0)


def test_the_table_says_what_an_operator_asks(run_trainer: Command, tmp_path: Path) -> None:
    path = archive(tmp_path, alert(1, unit="pump\x1b[31m"), alert(9))

    done = run_trainer("similar", str(path))

    like, first = done.stdout.splitlines()
    assert like.startswith("like 2023-11-14T22:22:20Z  pump-7  peak 1.5  heat 100%")
    assert first.startswith("  1.00  2023-11-14T22:14:20Z  pump\ufffd[31m  peak 1.5")
    assert first.endswith("verdict: none")


def test_without_an_incident_before_it_that_is_said(
    run_trainer: Command, tmp_path: Path
) -> None:
    done = run_trainer("similar", str(archive(tmp_path, alert(1))))

    assert done.stdout.endswith("no incident opened before it\n")


@pytest.mark.parametrize(
    ("content", "arguments", "message"),
    [
        (b"", (), "expected an alert, found none"),
        (b"{}\n", (), "found none (1 lines left out, no alert records: "),
        (b"\n\n\xff\n", (), "line 3: expected a record of 'alert/1'"),
        (b"[" * (MAX_RECORD_BYTES + 1), (), "line 1: expected a record of 'alert/1'"),
        (None, (), "cannot be read: No such file"),
        (b"good", ("nine",), "expected incident 'nine', found none"),
        (b"good", ("pump",), "several incidents begin with 'pump'; give more of it"),
        (b"good", ("--feedback", "no.jsonl"), "no.jsonl: cannot be read: No such file"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    content: bytes | None,
    arguments: tuple[str, ...],
    message: str,
    run_trainer: Command,
    tmp_path: Path,
) -> None:
    path = tmp_path / "alerts.jsonl"
    if content == b"good":
        archive(tmp_path, alert(1), alert(2))
    elif content is not None:
        path.write_bytes(content)

    done = run_trainer("similar", str(path), *arguments)

    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def test_lines_that_are_no_records_are_left_out_and_told(
    run_trainer: Command, tmp_path: Path
) -> None:
    feedback = tmp_path / "feedback.jsonl"
    feedback.write_text('{"incident_id": "a", "verdict": "true"}\n')
    path = archive(tmp_path, alert(1), alert(2))
    path.write_text("half of a li\n" + path.read_text())

    done = run_trainer("similar", str(path), "--feedback", str(feedback))

    assert done.returncode == 0
    assert "1 lines left out, no alert records: " in done.stdout
    assert "1 lines left out, no feedback records: " in done.stdout
    assert "verdict: none" in done.stdout


def test_the_whole_id_of_an_incident_is_enough(
    run_trainer: Command, tmp_path: Path
) -> None:
    path = archive(tmp_path, alert(0), alert(1), alert(10))

    assert [s["incident_id"] for s in found(run_trainer, str(path), "pump-7-1")] == [
        "pump-7-0"
    ]


def test_a_vector_of_any_size_is_compared() -> None:
    huge, small = (alert_of(n, embedding=(x, 0.0)) for n, x in ((1, 1e308), (2, 1e-308)))

    assert similarity(look_of(huge), look_of(small)) == pytest.approx(1.0)
