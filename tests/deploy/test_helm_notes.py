"""What the chart tells after an install: it names what is there, and commands that work."""

import re
import tarfile
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from tests.deploy.helm import (
    OLDEST,
    VALUE_SETS,
    Manifest,
    Values,
    container,
    manifests,
    merged,
    one,
    packed,
    pods,
    template,
    worker,
)
from tests.deploy.kubernetes import kubeconform
from tests.deploy.test_names import PROGRAMS

EVERYTHING = merged(VALUE_SETS["everything on"], {"staticMembership": False})


@pytest.fixture(scope="module")
def notes(tmp_path_factory: pytest.TempPathFactory) -> str:
    return notes_of(EVERYTHING, tmp_path_factory.mktemp("notes"))


def notes_of(values: Values, folder: Path) -> str:
    """The notes, which `helm template` leaves out."""
    with tarfile.open(packed(folder)) as archive:
        archive.extractall(folder, filter="data")
    chart = folder / "sensor-anomaly-pipeline"
    (chart / "templates" / "shown.yaml").write_text(
        'notes: {{ include (print .Template.BasePath "/NOTES.txt") . | toJson }}\n'
    )
    done = template(values, chart)
    shown = next(
        filter(lambda one: one and "notes" in one, yaml.safe_load_all(done.stdout))
    )
    return str(shown["notes"])


def helper(notes: str) -> str:
    """The manifest that the notes apply, as a shell would read it."""
    (text,) = re.findall(
        r"^kubectl -n plant apply -f - <<'END'$(.*?)^END$", notes, re.M | re.S
    )
    return str(text)


def test_they_name_what_is_there_and_commands_that_exist(notes: str) -> None:
    names = {
        f"{one['kind']}/{one['metadata']['name']}".lower() for one in manifests(EVERYTHING)
    }

    named = set(re.findall(r"((?:deployment|cronjob|job)/[\w-]+)", notes))
    commands = re.findall(r"-- (pipeline|trainer) ([\w-]+)", notes)

    assert named - {"job/line-1-retrain-now"} <= names
    assert commands
    for program, command in commands:
        assert command in vars(PROGRAMS[program])["commands"]


def test_a_detector_can_be_put_in_while_all_workers_wait_for_one(
    notes: str, kubernetes: dict[str, Path]
) -> None:
    pod: Manifest = yaml.safe_load(helper(notes))
    (only,) = pod["spec"]["containers"]
    job = container(one("Job", EVERYTHING))

    assert kubeconform(helper(notes), kubernetes[OLDEST]) == []
    # Where, and as whom, the detector that was put in is then verified and taken into use.
    assert only["volumeMounts"] == job["volumeMounts"]
    for name in ("image", "securityContext", "resources"):
        assert only[name] == job[name]
    of_job = one("Job", EVERYTHING)["spec"]["template"]["spec"]
    for name in ("volumes", "securityContext", "serviceAccountName", "imagePullSecrets"):
        assert pod["spec"][name] == of_job[name]


def test_nothing_is_run_in_a_worker_which_may_not_be_running(notes: str) -> None:
    name = yaml.safe_load(helper(notes))["metadata"]["name"]

    assert set(re.findall(r" exec (\S+)", notes)) == {name}
    assert f" cp FOLDER {name}:/detectors/NAME" in notes
    assert f"delete pod/{name}" in notes


def test_the_pod_that_writes_is_not_taken_for_a_worker(notes: str) -> None:
    labels = yaml.safe_load(helper(notes))["metadata"]["labels"]
    workers = worker(EVERYTHING)["spec"]["selector"]["matchLabels"]

    assert not workers.items() <= labels.items()


def test_a_promotion_that_failed_can_be_tried_again(notes: str) -> None:
    (selector,) = re.findall(r"delete job -l (\S+)", notes)
    wanted = dict(part.split("=") for part in selector.split(",")).items()
    job = one("Job", EVERYTHING)

    assert wanted <= job["metadata"]["labels"].items()
    retraining = one("CronJob", EVERYTHING)["spec"]["jobTemplate"]
    assert not wanted <= retraining.get("metadata", {}).get("labels", {}).items()
    # Its log is asked for by the same labels.
    matching = [p for p in pods(EVERYTHING) if wanted <= p["metadata"]["labels"].items()]
    assert matching == [job["spec"]["template"]]
