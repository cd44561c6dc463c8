"""Sides of a comparison as processes of their own: one line of JSON says how it went."""

import argparse
import json
import os
import subprocess
import sys
import time
from typing import Any, NoReturn

TIMEOUT_S = 120.0


def run(module: str, **options: object) -> dict[str, Any]:
    """Run `python -m tests.bench.MODULE --NAME VALUE ...` to its end.

    Returns:
        What it printed last.

    Raises:
        RuntimeError: it failed.
    """
    arguments = [
        text
        for name, value in options.items()
        for text in (f"--{name.replace('_', '-')}", str(value))
    ]
    done = subprocess.run(
        [sys.executable, "-m", f"tests.bench.{module}", *arguments],
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    lines = done.stdout.splitlines()
    if done.returncode != 0 or not lines:
        raise RuntimeError(f"{module} failed: {done.stderr[-2_000:]}")
    result: dict[str, Any] = json.loads(lines[-1])
    return result


def options(*names: str) -> argparse.Namespace:
    """The child's side of `run`: these options, as text."""
    parser = argparse.ArgumentParser()
    for name in names:
        parser.add_argument(f"--{name.replace('_', '-')}", required=True)
    return parser.parse_args()


class Meter:
    """Counts readings and ends the process once all have come.

    The clock starts with the first batch, which itself is not counted: nobody's start-up
    time is.
    """

    def __init__(self, n_readings: int) -> None:
        self._n_readings = n_readings
        self._n_seen = 0
        self._n_first = 0
        self._began_s = 0.0

    def start(self) -> None:
        """Start the clock now, and count the first batch too.

        For a client that fetches so far ahead that all is there when the first comes.
        """
        self._began_s = time.perf_counter()

    def count(self, n: int) -> None:
        """Count `n` more readings that are done with."""
        if n and not self._began_s:
            self._n_first = n
            self._began_s = time.perf_counter()
        self._n_seen += n
        if self._n_seen >= self._n_readings:
            self._end()

    def _end(self) -> NoReturn:
        took_s = time.perf_counter() - self._began_s
        rate = (self._n_seen - self._n_first) / took_s
        print(json.dumps({"readings_per_s": rate, "n_readings": self._n_seen}), flush=True)
        # At once, from within whatever framework calls this.
        os._exit(0)
