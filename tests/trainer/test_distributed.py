"""Several processes, started by torchrun, fit one detector."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

from pipeline.detector import artifact
from pipeline.errors import InputError
from tests import builders
from tests.trainer.training import Command
from trainer.distributed import ALONE, Ranks, joined

N_ROWS = 600
QUICK = ("--window", "8", "--set", "steps=60", "--device", "cpu", "--model", "ae")
TORCHRUN = "torch.distributed.run"


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Values are missing in it, more in some windows than in others."""
    values_NF = builders.sensor_series(N_ROWS).astype(np.float64)
    values_NF[100:200, 1] = np.nan
    columns = {"time": 60 * np.arange(N_ROWS)}
    columns |= dict(zip(builders.SENSORS, values_NF.T, strict=True))
    path = tmp_path_factory.mktemp("history") / "pumps.parquet"
    pyarrow.parquet.write_table(pa.table(columns), path)
    return path


def in_two_processes(*arguments: str) -> subprocess.CompletedProcess[str]:
    """`trainer ...` by torchrun, which speaks on the loopback alone."""
    return torchrun("-m", "trainer", *arguments)


def torchrun(*arguments: str) -> subprocess.CompletedProcess[str]:
    loopback = {"GLOO_SOCKET_IFNAME": "lo"}
    two = ("--standalone", "--local-addr", "127.0.0.1", "--nproc-per-node", "2")
    return subprocess.run(
        [sys.executable, "-m", TORCHRUN, *two, *arguments],
        env={**os.environ, **loopback},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_two_processes_fit_what_one_does(
    history: Path, tmp_path: Path, run_trainer: Command
) -> None:
    ours, theirs = tmp_path / "one" / "pumps", tmp_path / "two" / "pumps"
    alone = run_trainer("fit", str(history), "--out", str(ours), *QUICK)
    assert alone.returncode == 0, alone.stderr

    together = in_two_processes("fit", str(history), "--out", str(theirs), *QUICK)

    assert together.returncode == 0, together.stderr
    one, two = (artifact.load(folder) for folder in (ours, theirs))
    # An autoencoder draws no noise: the steps are the same but for rounding.
    assert two.detector.threshold == pytest.approx(one.detector.threshold, rel=1e-3)
    losses = [loaded.manifest.training.losses["ae"] for loaded in (one, two)]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)
    for name, weights in one.detector.networks[0].state_dict().items():
        np.testing.assert_allclose(
            two.detector.networks[0].state_dict()[name], weights, atol=1e-3
        )
    assert together.stdout.count("digest") == 1
    assert [path.name for path in theirs.parent.iterdir()] == ["pumps"]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--epochs", "0"], "TRAINER_EPOCHS"),
        (["--set", "nonsense"], "expected NAME=VALUE"),
        (["--set", "learning_rate=1e30"], "try a smaller learning rate"),
    ],
)
def test_bad_input_ends_all_of_them_with_one_line(
    arguments: list[str], expected: str, history: Path, tmp_path: Path
) -> None:
    out = tmp_path / "pumps"

    done = in_two_processes("fit", str(history), "--out", str(out), *QUICK, *arguments)

    assert done.returncode != 0
    [line] = [each for each in done.stderr.splitlines() if each.startswith("error: ")]
    assert expected in line
    assert "exitcode  : 2" in done.stderr
    assert not out.exists()


def test_processes_that_were_not_given_the_same_are_refused(
    history: Path, tmp_path: Path
) -> None:
    # One reading less, another seed and another model in the second.
    whole = pyarrow.parquet.read_table(history)
    pyarrow.parquet.write_table(whole, tmp_path / "history-0.parquet")
    pyarrow.parquet.write_table(whole[:-1], tmp_path / "history-1.parquet")
    fit = 'if [ "$RANK" = 0 ]; then model=ae; else model=vae; fi; exec "$0" -m trainer fit '
    fit += f'{tmp_path}/history-"$RANK".parquet --model $model --seed "$RANK" "$@"'
    out = tmp_path / "pumps"

    done = torchrun(
        "--no-python", "sh", "-c", fit, sys.executable, "--out", str(out), "--window", "8"
    )

    [line] = [each for each in done.stderr.splitlines() if each.startswith("error: ")]
    assert "differ in the history, --model, TRAINER_SEED; give all of them" in line
    assert done.stderr.count("exitcode  : 2") == 2
    assert not out.exists()


def test_without_torchrun_a_process_is_alone() -> None:
    assert joined({}) is ALONE
    # A batch system sets this too.
    assert joined({"WORLD_SIZE": "2"}) is ALONE


def test_a_batch_is_shared_without_rest() -> None:
    shares = [Ranks(rank, n_ranks=3).share(np.arange(8)).tolist() for rank in range(3)]

    assert shares == [[0, 3, 6], [1, 4, 7], [2, 5]]


def test_each_process_needs_a_gpu_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)

    assert Ranks(1, 2, local_rank=1, n_local=2).device("auto").index == 1
    with pytest.raises(InputError, match="3 processes on this machine, which has 2 GPUs"):
        Ranks(1, 3, local_rank=1, n_local=3).device("auto")
    with pytest.raises(InputError, match="start at most one a GPU"):
        Ranks(1, 2, local_rank=1, n_local=2).device("cuda:0")
