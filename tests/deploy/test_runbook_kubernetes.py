"""What the runbook says to run on Kubernetes fits the chart."""

import re
import shlex

from pipeline.configure import documented
from pipeline.settings import Settings
from tests.deploy.files import read_yaml
from tests.deploy.helm import CHART
from tests.deploy.test_runbook import COMMANDS

WORKER = (CHART / "templates" / "worker.yaml").read_text()


def test_every_selector_of_kubectl_is_of_pods_and_objects_of_the_chart() -> None:
    chart = read_yaml(CHART / "Chart.yaml")["name"]
    templates = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    components = set(re.findall(r"app.kubernetes.io/component: (\S+)", templates))
    selectors = [
        selector
        for command in COMMANDS
        if command.startswith("kubectl")
        for selector in re.findall(r" -l (\S+)", command)
    ]

    assert selectors
    for selector in selectors:
        labels = dict(label.split("=") for label in selector.split(","))
        assert labels.pop("app.kubernetes.io/component") in components
        assert labels == {"app.kubernetes.io/name": chart}


def test_what_is_done_to_all_workers_is_done_to_either_kind_of_them() -> None:
    kind = re.search(r'kind: .*"(\w+)" "(\w+)"', WORKER)
    done = [
        re.match(r"kubectl (?:rollout \w+|scale) (\S+)", command) for command in COMMANDS
    ]

    assert kind
    assert {found[1] for found in done if found} == {
        ",".join(sorted(one.lower() for one in kind.groups()))
    }


def test_of_many_pods_whole_logs_are_read() -> None:
    # By a selector kubectl shows the last ten lines of each, unless it is told.
    logs = [one for one in COMMANDS if one.startswith("kubectl logs -l")]

    assert logs
    for command in logs:
        assert "--tail=-1" in command


def test_commands_in_a_pod_that_go_to_kafka_find_the_passwords_there() -> None:
    mounted = re.search(r"name: secrets, mountPath: ([^,]+),", WORKER)
    to_kafka = [
        shlex.split(command)
        for command in COMMANDS
        if re.match(r"kubectl exec POD -- pipeline (?!promote)", command)
    ]

    assert mounted
    assert {words[5] for words in to_kafka} == {"alerts", "redrive"}
    for words in to_kafka:
        assert words[words.index("--secrets-dir") + 1] == mounted[1]


def test_nothing_in_a_pod_writes_to_the_registry_which_is_read_only_there() -> None:
    assert "{name: detectors, mountPath: /detectors, readOnly: true}" in WORKER
    listing = {one for one in COMMANDS if re.match(r"kubectl exec .* promote", one)}

    assert listing == {"kubectl exec POD -- pipeline promote /detectors"}


def test_every_value_of_the_chart_that_it_sets_exists() -> None:
    values = read_yaml(CHART / "values.yaml")
    set_to = [
        assignment
        for command in COMMANDS
        if command.startswith(("helm", "--set"))
        for assignments in re.findall(r"--set (\S+=\S+)", command)
        for assignment in assignments.split(",")
    ]

    assert len(set_to) > 4
    for assignment in set_to:
        at = values
        for name in assignment.partition("=")[0].split("."):
            if at is values["settings"]:
                assert name in {
                    "NAME",
                    *(variable for variable, *_ in documented(Settings)),
                }
                break
            at = at[name]
