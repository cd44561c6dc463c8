import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.detector.artifact import load
from pipeline.errors import InputError
from tests import builders
from tests.trainer.training import Command
from tests.trainer.tuning.searching import (
    QUICK,
    SMALL,
    values_of,
    with_faults,
    write_history,
)
from trainer.prepare import prepare
from trainer.read_history import read_history
from trainer.settings import TrainerSettings
from trainer.tuning.criterion import HeldOutJudge
from trainer.tuning.objective import Objective, choose_judged, judged_by

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def history(tmp_path: Path) -> Path:
    return write_history(tmp_path / "pumps.csv")


def command_of(stdout: str) -> list[str]:
    """What is to be pasted."""
    (line,) = [line for line in stdout.splitlines() if line.startswith("  trainer fit")]
    return shlex.split(line)[1:]


@pytest.mark.parametrize("by", ["faults", "labels"])
def test_the_command_line_gives_a_detector_with_the_same_criterion(
    run_trainer: Command, tmp_path: Path, by: str
) -> None:
    rows = [*range(100, 110), *range(300, 310)]
    values_NF = with_faults(builders.sensor_series(600), rows)
    history = write_history(tmp_path / "h.csv", values_NF, rows)
    ended = run_trainer("tune", "h.csv", "--trials", "4", "--by", by, *QUICK)
    assert ended.returncode == 0, ended.stderr

    words = command_of(ended.stdout)
    assert run_trainer(*words).returncode == 0

    named = dict(w.split("=") for w in words if "=" in w)
    base = {name: named[name] for name in ("test_share", "steps", "device")}
    judged = choose_judged(
        read_history(history, TrainerSettings.model_validate(base)),
        TrainerSettings.model_validate(base),
        "faults" if by == "faults" else "labels",
    )
    at = {name: words[words.index(f"--{name}") + 1] for name in ("window", "latent")}
    settings = TrainerSettings.model_validate(named | at)
    detector = load(Path(words[words.index("--out") + 1])).detector
    prepared = prepare(read_history(history, settings), settings)
    judge = HeldOutJudge(detector.networks, detector.scoring, prepared, CPU)
    criterion = judged_by(judge, judged)
    (best,) = [line for line in ended.stdout.splitlines() if line.startswith("best: ")]
    assert best.split()[3].rstrip(",") == f"{criterion.value:.4f}"


def test_the_best_is_never_worse_than_the_default(
    run_trainer: Command, history: Path
) -> None:
    ended = run_trainer("tune", str(history), "--trials", "3", *QUICK)

    best = next(line for line in ended.stdout.splitlines() if line.startswith("best: "))
    value, default = float(best.split()[3]), float(best.split()[-1].rstrip(")"))
    assert value >= default
    assert ended.stdout.startswith("trial 0: family ensemble, window 32,")


def test_what_is_in_the_test_part_changes_nothing(
    run_trainer: Command, tmp_path: Path
) -> None:
    values_NF = builders.sensor_series(600)
    early = range(100, 110)
    changed_NF = values_NF.copy()
    changed_NF[480:] = -3 * changed_NF[480:] + 100
    one = write_history(tmp_path / "one.csv", values_NF, [*early, *range(500, 520)])
    other = write_history(tmp_path / "other.csv", changed_NF, [*early, 481, 599])

    searches = []
    for path in (one, other):
        study = f"{path.stem}.journal"
        options = ("--trials", "3", "--study", study, *SMALL)
        assert run_trainer("tune", str(path), *options).returncode == 0
        searches.append(values_of(tmp_path / study))

    assert searches[0] == searches[1]
    assert len(searches[0]) == 3


def test_labels_in_the_test_part_alone_are_no_labels(
    run_trainer: Command, tmp_path: Path
) -> None:
    history = write_history(tmp_path / "h.csv", labelled=range(500, 520))

    by_itself = run_trainer("tune", str(history), "--trials", "1", *SMALL)
    asked = run_trainer(
        "tune", str(history), "--trials", "1", "--by", "labels", "--study", "x", *SMALL
    )

    assert "injected faults" in by_itself.stdout
    assert asked.returncode == 2
    assert "no row that is judged on is labelled" in asked.stderr


def test_a_search_that_was_stopped_goes_on(
    run_trainer: Command, history: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make, n_made = Objective.__call__, 0

    def interrupted(self: Objective, *arguments: object) -> object:
        nonlocal n_made
        n_made += 1
        if n_made == 2:
            raise KeyboardInterrupt
        return make(self, *arguments)  # type: ignore[arg-type]

    options = (str(history), "--trials", "3", *SMALL)
    whole = run_trainer("tune", *options, "--study", "whole.journal")
    monkeypatch.setattr(Objective, "__call__", interrupted)
    stopped = run_trainer("tune", *options, "--page", "page.html")
    resumed = run_trainer("tune", *options)

    assert whole.returncode == 0
    assert (stopped.returncode, stopped.stderr) == (130, "stopped\n")
    assert not (tmp_path / "page.html").exists()
    assert resumed.returncode == 0
    assert values_of(tmp_path / "pumps.tune.journal") == values_of(
        tmp_path / "whole.journal"
    )
    assert command_of(resumed.stdout) == command_of(whole.stdout)


def test_two_jobs_share_a_search(run_trainer: Command, history: Path) -> None:
    options = ("--trials", "6", "--jobs", "2", *SMALL)

    ended = run_trainer("tune", str(history), *options)

    assert (ended.returncode, ended.stderr) == (0, "")
    lines = [line for line in ended.stdout.splitlines() if line.startswith("trial ")]
    assert len(lines) == 6
    assert sorted(line.split()[1] for line in lines) == [f"{n}:" for n in range(6)]


def test_a_trial_that_cannot_be_fitted_does_not_end_the_search(
    run_trainer: Command, history: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, n_made = Objective.__call__, 0

    def failing(self: Objective, *arguments: object) -> object:
        nonlocal n_made
        n_made += 1
        if n_made == 1:
            raise InputError("the loss became nan in step 3")
        return make(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Objective, "__call__", failing)

    ended = run_trainer("tune", str(history), "--trials", "2", *SMALL)

    assert ended.returncode == 0
    assert "failed: the loss became nan in step 3" in ended.stdout
    assert "1 done, 1 failed" in ended.stdout


def test_time_that_is_up_leaves_what_was_found(run_trainer: Command, history: Path) -> None:
    first = run_trainer("tune", str(history), "--trials", "1", *SMALL)
    options = ("--trials", "9000", "--timeout-s", "0", *SMALL)

    ended = run_trainer("tune", str(history), *options)

    assert ended.returncode == 0
    assert command_of(ended.stdout) == command_of(first.stdout)


def test_time_that_is_up_before_the_first_trial_is_said(
    run_trainer: Command, history: Path
) -> None:
    ended = run_trainer("tune", str(history), "--timeout-s", "0", *SMALL)

    assert ended.returncode == 1
    assert ended.stderr == (
        "error: time was up before the first trial ended; give the same command to go on\n"
    )


def test_units_with_scalers_of_their_own_and_vaes_by_their_score(
    run_trainer: Command, history: Path
) -> None:
    options = ("--set", "scaling=per-unit", "--set", "score=elbo", "--window", "8", *QUICK)

    ended = run_trainer("tune", str(history), "--trials", "2", *options)

    assert ended.returncode == 0
    assert "--set score=elbo" in ended.stdout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--by", "luck"), "--by luck: expected one of faults, labels"),
        (("--by", "labels"), "no row that is judged on is labelled"),
        (("--model", "cnn"), "--model cnn: expected one of"),
        (("--set", "score=elbo", "--model", "ae"), "is made by a VAE"),
        (("--set", "windows=3"), "windows is no setting"),
        (("--window", "400"), "too short"),
        (("--test-share", "1"), "TRAINER_TEST_SHARE"),
        (("--page", "no/such/page.html"), "--page no/such/page.html"),
        (("--page", "pumps.csv"), "it would replace what it is made from"),
        (("--study", "no/such/study"), "--study no/such/study"),
        (("--study", "pumps.csv"), "it would replace what it is made from"),
        (("--page", "same", "--study", "same"), "--page same"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_nothing_is_written(
    run_trainer: Command,
    history: Path,
    tmp_path: Path,
    options: tuple[str, ...],
    said: str,
) -> None:
    ended = run_trainer("tune", str(history), "--set", "steps=20", *options)

    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [history]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"time,a\n", "expected rows, found none"),
        (b"\xff\xfe\x00", "history.csv"),
        (b"time,a\n1,\n2,\n", "no sensor has a value"),
        (b"when,a\n1,2\n", "time"),
        ("".join(["time,a\n", *(f"{n},5\n" for n in range(600))]).encode(), "sensor"),
        ("".join(["time,a\n", *(f"{n},{n % 7}\n" for n in range(60))]).encode(), "short"),
    ],
)
def test_a_history_that_cannot_be_used_is_one_line(
    run_trainer: Command, tmp_path: Path, content: bytes, said: str
) -> None:
    path = tmp_path / "history.csv"
    path.write_bytes(content)

    ended = run_trainer("tune", str(path))

    assert (ended.returncode, ended.stdout) == (2, "")
    assert said in ended.stderr
    assert ended.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == [path]


def test_the_search_of_another_history_is_refused(
    run_trainer: Command, history: Path, tmp_path: Path
) -> None:
    assert run_trainer("tune", str(history), "--trials", "1", *SMALL).returncode == 0
    before = (tmp_path / "pumps.tune.journal").read_bytes()
    write_history(history, builders.sensor_series(600, seed=1))

    ended = run_trainer("tune", str(history), "--trials", "1", *SMALL)

    assert ended.returncode == 2
    assert "it is a search of another history" in ended.stderr
    assert (tmp_path / "pumps.tune.journal").read_bytes() == before


def test_no_trial_has_a_window_that_leaves_little_to_judge_on() -> None:
    settings = TrainerSettings(device="cpu")
    largest = {
        n: choose_judged(
            builders.history(builders.sensor_series(n)), settings, None
        ).largest_window
        for n in (600, 900, 2_000)
    }

    assert largest == {600: 32, 900: 96, 2_000: 128}


def test_a_history_without_labels_is_judged_by_faults_and_one_with_by_labels() -> None:
    history = builders.history(builders.sensor_series(800))
    labelled = replace(history, label_N=np.arange(800) // 10 == 30)
    settings = TrainerSettings(device="cpu")

    assert choose_judged(history, settings, None).by == "faults"
    assert choose_judged(labelled, settings, None).by == "labels"
    assert choose_judged(labelled, settings, "faults").by == "faults"
