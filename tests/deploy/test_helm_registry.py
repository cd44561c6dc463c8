"""The chart's detectors: trained on a schedule, taken into use only when told to."""

import csv
import math
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.deploy.helm import (
    RETRAINING,
    VALUE_SETS,
    Manifest,
    Values,
    container,
    environment,
    merged,
    one,
    template,
    worker,
)
from tests.deploy.test_names import PROGRAMS
from tests.support import wait_until

TIMEOUT_S = 600.0
"""Against hanging for ever."""

WEEKS = [f"detector-202611{day:02}T030000Z" for day in (1, 8, 15, 22)]


def retrain(
    values: Values, registry: Path, path: Path, history: Path = Path("/none")
) -> subprocess.CompletedProcess[str]:
    """Run what the CronJob runs, in a folder of ours.

    Args:
        values: of the chart, on top of retraining.
        registry: stands for the volume.
        path: folder of the `trainer` that is found.
        history: a file.
    """
    job = one("CronJob", merged(RETRAINING, values))
    return run_its_command(job, path, REGISTRY=str(registry), HISTORY=str(history))


def run_its_command(
    job: Manifest, path: Path, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Run what a Job's container runs, finding programs in folder `path` first."""
    found = container(job)
    return subprocess.run(
        [*found["command"], *found["args"]],
        env={**environment(job), **variables, "PATH": f"{path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


@pytest.fixture
def fake_trainer(tmp_path: Path) -> Path:
    """A folder with a `trainer` that prints its arguments and makes its folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "trainer"
    program.write_text('#!/bin/sh\nprintf "<%s>\\n" "$@"\nmkdir "$4"\n')
    program.chmod(0o755)
    return folder


@pytest.fixture
def registry(tmp_path: Path) -> Path:
    """Four weeks' detectors, of which the oldest two are in use and were before."""
    folder = tmp_path / "detectors"
    for name in (*WEEKS, "by-hand", "detector-old"):
        (folder / name).mkdir(parents=True)
    (folder / "current").symlink_to(WEEKS[1])
    (folder / "previous").symlink_to(WEEKS[0])
    return folder


def test_a_detector_is_trained_under_a_name_of_its_own(
    registry: Path, fake_trainer: Path
) -> None:
    values = {"retraining": {"name": "pumps", "args": ["--model", "v ae"]}}

    done = retrain(values, registry, fake_trainer, Path("/history/pumps.csv"))

    assert done.returncode == 0, done.stderr
    (made,) = (path.name for path in registry.glob("pumps-*"))
    assert re.fullmatch(r"pumps-\d{8}T\d{6}Z", made)
    arguments = ["fit", "/history/pumps.csv", "--out", made, "--model", "v ae"]
    assert re.findall("<(.*)>", done.stdout) == arguments
    # Raises for an option that does not exist.
    vars(PROGRAMS["trainer"])["commands"]["fit"].make_context("fit", arguments[1:])


def test_retraining_takes_nothing_into_use(registry: Path, fake_trainer: Path) -> None:
    done = retrain({}, registry, fake_trainer)

    assert done.returncode == 0, done.stderr
    assert os.readlink(registry / "current") == WEEKS[1]


@pytest.mark.parametrize(
    ("keep", "shadow", "removed"),
    [
        (0, "", []),
        (8, "", []),
        (5, "", []),
        (2, "", [WEEKS[2]]),
        (1, "", WEEKS[2:]),
        (1, WEEKS[3], [WEEKS[2]]),
    ],
)
def test_old_detectors_go_unless_they_are_in_use_or_were_before(
    registry: Path, fake_trainer: Path, keep: int, shadow: str, removed: list[str]
) -> None:
    before = set(os.listdir(registry))

    values = {"retraining": {"keep": keep}, "shadow": shadow}
    done = retrain(values, registry, fake_trainer)

    assert done.returncode == 0, done.stderr
    assert before - set(os.listdir(registry)) == set(removed)


def test_a_first_detector_is_trained_into_an_empty_registry(
    tmp_path: Path, fake_trainer: Path
) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()

    done = retrain({}, empty, fake_trainer)

    assert done.returncode == 0, done.stderr
    assert len(os.listdir(empty)) == 1


def test_two_trainings_never_run_at_once_and_none_runs_for_ever() -> None:
    spec = one("CronJob", RETRAINING)["spec"]

    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["jobTemplate"]["spec"]["activeDeadlineSeconds"] == 21600
    assert spec["jobTemplate"]["spec"]["backoffLimit"] == 1


def volumes(manifest: Manifest) -> dict[str, tuple[str, bool]]:
    """By mount point: the claim, and whether it is read-only."""
    spec = manifest["spec"]
    pod = spec.get("jobTemplate", {}).get("spec", spec)["template"]["spec"]
    claims = {
        volume["name"]: volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["volumes"]
        if "persistentVolumeClaim" in volume
    }
    return {
        mount["mountPath"]: (claims[mount["name"]], mount.get("readOnly", False))
        for mount in container(manifest)["volumeMounts"]
        if mount["name"] in claims
    }


def test_the_trainer_reads_the_history_and_writes_where_the_worker_reads() -> None:
    job = one("CronJob", RETRAINING)

    assert volumes(job) == {
        "/detectors": ("line-1-registry", False),
        "/history": ("plant-history", True),
    }
    assert volumes(worker({})) == {"/detectors": ("line-1-registry", True)}
    assert environment(job)["HISTORY"] == "/history/history.parquet"
    assert environment(job)["REGISTRY"] == "/detectors"


def test_a_claim_of_your_own_is_used_everywhere() -> None:
    values = merged(
        RETRAINING, {"registry": {"existingClaim": "shared"}, "promote": "detector-1"}
    )

    for manifest in (worker(values), one("CronJob", values), one("Job", values)):
        assert volumes(manifest)["/detectors"][0] == "shared"


def test_retraining_on_a_gpu_leaves_the_workers_without() -> None:
    values = VALUE_SETS["retraining on a gpu"]

    trainer = container(one("CronJob", values))

    assert trainer["image"].endswith(":0.1.0-cuda")
    assert trainer["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert "nvidia.com/gpu" not in container(worker(values))["resources"]["limits"]


def promote(values: Values, registry: Path, path: Path) -> str:
    """Run what the Job runs, in a folder of ours, and return what it says.

    Args:
        values: of the chart.
        registry: stands for the volume.
        path: folder of the `pipeline` that is found.
    """
    done = run_its_command(one("Job", values), path, REGISTRY=str(registry))
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def fake_promote(tmp_path: Path) -> Path:
    """A folder with a `pipeline` that switches without looking, or fails."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "pipeline"
    program.write_text('#!/bin/sh\n[ -d "$2/$3" ] && ln -sfn "$3" "$2/current"\n')
    program.chmod(0o755)
    return folder


def current(registry: Path) -> str:
    return os.readlink(registry / "current")


def switch_by_hand(registry: Path, name: str) -> None:
    (registry / "current").unlink()
    (registry / "current").symlink_to(name)


def test_an_upgrade_leaves_what_was_promoted_by_hand_since(
    registry: Path, fake_promote: Path
) -> None:
    values = {"promote": WEEKS[2]}
    promote(values, registry, fake_promote)
    assert current(registry) == WEEKS[2]
    switch_by_hand(registry, WEEKS[3])

    said = promote(merged(values, {"image": {"tag": "0.2.0"}}), registry, fake_promote)

    assert current(registry) == WEEKS[3]
    assert said == (
        f"{WEEKS[2]} was promoted for this release before: nothing is switched; "
        f"current is {WEEKS[3]}\n"
    )


def test_the_one_before_is_promoted_again_by_its_name(
    registry: Path, fake_promote: Path
) -> None:
    for name in (WEEKS[2], WEEKS[3], WEEKS[2]):
        promote({"promote": name}, registry, fake_promote)

        assert current(registry) == name


def test_a_promotion_that_failed_is_tried_again(registry: Path, fake_promote: Path) -> None:
    values = {"promote": "detector-to-come"}
    with pytest.raises(AssertionError):
        promote(values, registry, fake_promote)
    (registry / "detector-to-come").mkdir()

    promote(values, registry, fake_promote)

    assert current(registry) == "detector-to-come"


def test_where_nothing_is_in_use_a_name_is_promoted_again(
    registry: Path, fake_promote: Path
) -> None:
    promote({"promote": WEEKS[2]}, registry, fake_promote)
    (registry / "current").unlink()

    promote({"promote": WEEKS[2]}, registry, fake_promote)

    assert current(registry) == WEEKS[2]


def test_releases_with_one_registry_do_not_take_each_others_notes() -> None:
    def noted(release: str, namespace: str) -> str:
        done = template({"promote": "a"}, release=release, namespace=namespace)
        jobs = [one for one in yaml.safe_load_all(done.stdout) if one["kind"] == "Job"]
        return environment(jobs[0])["RELEASE"]

    assert noted("line-1", "plant") == "plant.line-1"
    assert len({noted("a-b", "c"), noted("b", "c-a"), noted("a-b", "d")}) == 3


def test_a_changed_promotion_is_another_job() -> None:
    def name(values: Values) -> str:
        return str(one("Job", values)["metadata"]["name"])

    first = {"promote": "detector-1"}

    assert name(first) == name(merged(first, {"replicas": 3}))
    assert name(first) != name({"promote": "detector-2"})
    # A Job cannot be changed, so that a changed one must have another name.
    assert name(first) != name(merged(first, {"image": {"tag": "0.2.0"}}))


def test_a_promotion_waits_for_its_volume_and_tries_more_than_once() -> None:
    spec = one("Job", {"promote": "detector-1"})["spec"]

    assert spec["activeDeadlineSeconds"] == 3600
    assert spec["backoffLimit"] == 3
    # Why nothing changed is in its log.
    assert "ttlSecondsAfterFinished" not in spec


def waiting(registry: Path) -> subprocess.Popen[str]:
    """What runs before a worker, looking at a folder of ours, and more often."""
    (first,) = worker({})["spec"]["template"]["spec"]["initContainers"]
    (script,) = first["args"]
    script = script.replace("/detectors", str(registry)).replace("sleep 5", "sleep 0.05")
    return subprocess.Popen(
        [*first["command"], script], stdout=subprocess.PIPE, text=True, bufsize=1
    )


def test_a_worker_waits_for_the_first_detector_and_says_so(tmp_path: Path) -> None:
    with waiting(tmp_path) as process:
        assert process.stdout
        try:
            line = process.stdout.readline()
            assert process.poll() is None
            (tmp_path / "detector-1").mkdir()
            (tmp_path / "detector-1" / "manifest.json").touch()
            (tmp_path / "current").symlink_to("detector-1")
            exit_code = process.wait(timeout=TIMEOUT_S)
        finally:
            process.kill()

    assert line == f"no detector at {tmp_path}/current yet: train and promote one\n"
    assert exit_code == 0


def test_a_waiting_worker_stops_when_asked_to(tmp_path: Path) -> None:
    with waiting(tmp_path) as process:
        assert process.stdout
        try:
            process.stdout.readline()
            process.terminate()
            wait_until(lambda: process.poll() is not None, "the waiting script's end")
        finally:
            process.kill()

    assert process.returncode == 143


def test_what_is_retrained_and_promoted_is_what_a_worker_starts_with(
    tmp_path: Path,
) -> None:
    history = tmp_path / "history.csv"
    with history.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["time", "pressure", "flow"])
        for i in range(400):
            writer.writerow([i, math.sin(i / 9), math.cos(i / 7)])
    registry = tmp_path / "detectors"
    registry.mkdir()
    values = {"retraining": {"args": ["--model", "ae"], "settings": {"TRAINER_STEPS": 20}}}
    programs = Path(sys.executable).parent

    trained = retrain(values, registry, programs, history)
    assert trained.returncode == 0, trained.stderr
    (name,) = os.listdir(registry)
    promote({"promote": name}, registry, programs)

    assert environment(one("Job", {"promote": name}))["REGISTRY"] == "/detectors"
    with waiting(registry) as process:
        assert process.wait(timeout=TIMEOUT_S) == 0
    assert (registry / "current").resolve().name == name
