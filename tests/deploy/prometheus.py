"""A real Prometheus as a child process, and what it answers."""

import json
import math
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]

from pipeline.kafka_runtime import free_ports
from tests.deploy.files import PROMETHEUS, RULES
from tests.support import wait_until

INTERVAL = "1s"
"""How often it scrapes and evaluates here."""


class Prometheus:
    """Scrapes one worker by the repository's configuration, only more often, and evaluates
    its rules. A context manager; killed at the end."""

    def __init__(self, worker_port: int, folder: Path) -> None:
        self._folder = folder
        (self._port,) = free_ports(0, 1)
        _write_configuration(worker_port, folder)

    def __enter__(self) -> "Prometheus":
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    "prometheus",
                    f"--config.file={self._folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={self._folder / 'series'}",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._process.kill()
        self._process.wait()

    def wait_until_ready(self) -> None:
        def is_ready() -> bool:
            assert self._process.poll() is None, (self._folder / "log").read_text()
            try:
                return self._get("/-/ready") != b""
            # Also what it answers while it starts.
            except OSError:
                return False

        wait_until(is_ready, "Prometheus is ready")

    def query(self, expression: str) -> list[dict[str, Any]]:
        """What it answers now: series or, for a scalar, one without a name. Fails for an
        expression that it does not take."""
        query = urllib.parse.urlencode({"query": expression})
        try:
            answer = self._get(f"/api/v1/query?{query}")
        except urllib.error.HTTPError as error:
            with error:
                raise AssertionError((expression, error.read().decode())) from error
        data = json.loads(answer)["data"]
        if data["resultType"] == "scalar":
            return [{"metric": {}, "value": data["result"]}]
        return list(data["result"])

    def rules(self) -> dict[str, dict[str, Any]]:
        """Each rule as it stands, by its name."""
        groups = json.loads(self._get("/api/v1/rules"))["data"]["groups"]
        return {rule["name"]: rule for group in groups for rule in group["rules"]}

    def _get(self, path: str) -> bytes:
        url = f"http://127.0.0.1:{self._port}{path}"
        with urllib.request.urlopen(url, timeout=10) as page:
            return bytes(page.read())


def values(series: list[dict[str, Any]]) -> list[float]:
    """The finite values of an answer: what a panel would draw."""
    found = [float(each["value"][1]) for each in series]
    return [value for value in found if math.isfinite(value)]


def _write_configuration(worker_port: int, folder: Path) -> None:
    rules = yaml.safe_load(RULES.read_text())
    for group in rules["groups"]:
        group.pop("interval", None)
    (folder / "rules.yml").write_text(yaml.safe_dump(rules))
    configuration = yaml.safe_load(PROMETHEUS.read_text())
    configuration["global"] = {
        "scrape_interval": INTERVAL,
        "scrape_timeout": INTERVAL,
        "evaluation_interval": INTERVAL,
    }
    del configuration["alerting"]
    (scrape,) = configuration["scrape_configs"]
    del scrape["dns_sd_configs"]
    scrape["static_configs"] = [{"targets": [f"127.0.0.1:{worker_port}"]}]
    (folder / "prometheus.yml").write_text(yaml.safe_dump(configuration))
