from pathlib import Path

import pytest

from tests.deploy.helm import NEWEST, OLDEST
from tests.deploy.kubernetes import write_schemas


@pytest.fixture(scope="session")
def kubernetes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By version, a folder of Kubernetes' own schemas of all that the chart makes."""
    folders = {}
    for version in (OLDEST, NEWEST):
        folders[version] = tmp_path_factory.mktemp(f"kubernetes-{version}-")
        write_schemas(version, folders[version])
    return folders
