from pathlib import Path

import pytest

from pipeline.errors import InputError
from trainer.settings import TrainerSettings
from trainer.tuning.criterion import Criterion
from trainer.tuning.rows import TrialRow
from trainer.tuning.space import space_of
from trainer.tuning.study import N_UNPRUNED, StudyFile

SPACE = space_of(TrainerSettings(), None, 128, n_sensors=4)
IDENTITY = {"history": "sha256:0", "seed": 0, "steps": 20}


def opened(path: Path, **identity: object) -> StudyFile:
    return StudyFile(path, {**IDENTITY, **identity}, SPACE)


def make(study: StudyFile, n_trials: int, n_now: int = 10_000) -> list[TrialRow]:
    """Trials whose criterion is a function of their settings."""
    for _ in range(n_now):
        trial = study.next_trial(n_trials)
        if trial is None:
            break
        choice = study.choice(trial)
        value = 1.0 / choice.window
        if study.rung(trial, value):
            study.prune(trial)
        else:
            study.complete(trial, Criterion(value, {"spike": value}))
    return study.rows()


def tried(rows: list[TrialRow]) -> list[object]:
    return [(row.choice, row.state, row.value) for row in rows if row.state != "stopped"]


def test_the_default_settings_are_the_first_trial(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as study:
        rows = make(study, 3)

    assert rows[0].choice == SPACE.default
    assert len(rows) == 3


def test_a_search_that_was_resumed_tries_what_one_in_a_piece_tries(tmp_path: Path) -> None:
    with opened(tmp_path / "whole") as study:
        whole = make(study, 14)
    with opened(tmp_path / "pieces") as study:
        make(study, 14, n_now=6)
    with opened(tmp_path / "pieces") as study:
        pieces = make(study, 14)

    assert tried(pieces) == tried(whole)


def test_a_search_that_holds_enough_trials_makes_no_more(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as study:
        make(study, 4)
    with opened(tmp_path / "s") as study:
        assert study.next_trial(4) is None
        assert len(make(study, 5)) == 5


def test_trials_below_the_median_are_pruned(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as study:
        rows = make(study, 25)

    states = [row.state for row in rows]
    assert "pruned" not in states[:N_UNPRUNED]
    assert "pruned" in states
    pruned = [row.rung or 0.0 for row in rows if row.state == "pruned"]
    assert max(pruned) < max(row.value or 0.0 for row in rows)


def test_a_trial_that_was_stopped_is_made_again(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as study:
        trial = study.next_trial(3)
        assert trial is not None
        study.stop(trial)
    with opened(tmp_path / "s") as study:
        rows = make(study, 3)

    assert [row.state for row in rows] == ["stopped", "complete", "complete", "complete"]
    assert rows[1].choice == rows[0].choice == SPACE.default


def test_a_trial_of_a_process_that_died_is_made_again(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as study:
        study.next_trial(3)
    with opened(tmp_path / "s") as study:
        rows = make(study, 3)

    assert [row.state for row in rows] == ["stopped", "complete", "complete", "complete"]
    assert rows[1].choice == SPACE.default


def test_a_trial_that_failed_counts_and_says_why(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as study:
        trial = study.next_trial(1)
        assert trial is not None
        study.fail(trial, "the loss became nan")
        assert study.next_trial(1) is None
        (row,) = study.rows()

    assert (row.state, row.reason, row.value) == ("failed", "the loss became nan", None)


def test_half_a_line_of_a_killed_process_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with opened(path) as study:
        make(study, 2)
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker')

    with opened(path) as study:
        assert len(make(study, 3)) == 3


@pytest.mark.parametrize(
    "content", [b"time,a\n1,2\n", b"\x80\x04pickle", b'{"op_code": 99}\n', b"{}\n", b"x"]
)
def test_a_file_that_is_no_search_is_refused_and_left_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    path = tmp_path / "s"
    path.write_bytes(content)

    with pytest.raises(InputError, match="expected a search"):
        opened(path)

    assert path.read_bytes() == content


def test_a_search_of_another_history_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "s"):
        pass

    with pytest.raises(InputError, match="it is a search of another history"):
        opened(tmp_path / "s", history="sha256:1")


def test_a_search_with_other_settings_is_refused_and_they_are_named(tmp_path: Path) -> None:
    with opened(tmp_path / "s"):
        pass

    with pytest.raises(InputError, match=r"other settings \(steps 20, now 30\)"):
        opened(tmp_path / "s", steps=30)


def test_nothing_in_the_file_is_pickled(tmp_path: Path) -> None:
    with opened(tmp_path / "s") as study:
        make(study, 12)

    assert all(line.startswith("{") for line in (tmp_path / "s").read_text().splitlines())
    assert "pickle" not in (tmp_path / "s").read_text()
