"""The workers of a chaos run: started, stopped, killed, stalled."""

import signal
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from random import Random

from pipeline.metrics import totals
from tests.processes import WorkerProcess

MIN_WORKERS, MAX_WORKERS = 2, 4
PAUSE_S = (0.5, 9.0)
"""Past the session time-out, sometimes: then the group goes on without it."""


class Fleet:
    """Owns the worker processes, and counts what was done to them."""

    def __init__(self, settings: Mapping[str, str], folder: Path, chance: Random) -> None:
        self._settings = settings
        self._folder = folder
        self._chance = chance
        self._running: list[WorkerProcess] = []
        self._waking: list[tuple[float, WorkerProcess]] = []
        self._n_started = 0
        self.done: Counter[str] = Counter()
        self.exit_codes: Counter[int] = Counter()

    def __enter__(self) -> "Fleet":
        return self

    def __exit__(self, *exc_info: object) -> None:
        for worker in self._running:
            worker.process.kill()
            worker.process.wait()

    def start(self) -> None:
        """One worker more."""
        log = self._folder / f"worker-{self._n_started}.log"
        self._n_started += 1
        seed = str(self._chance.randrange(2**31))
        module = ("tests.chaos.stalling", seed)
        self._running.append(WorkerProcess(self._settings, log, module))

    def disturb(self, now_s: float) -> None:
        """Do one thing to one of them."""
        action = self._chance.choice(["kill", "kill", "pause", "pause", "start", "stop"])
        if action == "start" and len(self._running) >= MAX_WORKERS:
            action = "kill"
        if action == "start":
            self.start()
        else:
            worker = self._chance.choice(self._running)
            if action == "kill":
                worker.process.kill()
            elif action == "stop":
                worker.process.send_signal(signal.SIGTERM)
            else:
                worker.process.send_signal(signal.SIGSTOP)
                self._waking.append((now_s + self._chance.uniform(*PAUSE_S), worker))
        self.done[action] += 1

    def tend(self, now_s: float) -> None:
        """Wake those whose time has come, and replace those that have ended."""
        for at_s, worker in list(self._waking):
            if now_s >= at_s:
                self._waking.remove((at_s, worker))
                if worker.process.poll() is None:
                    worker.process.send_signal(signal.SIGCONT)
        for worker in list(self._running):
            if worker.process.poll() is not None:
                self._running.remove(worker)
                self.exit_codes[worker.process.returncode] += 1
        while len(self._running) < MIN_WORKERS:
            self.start()

    def calm(self) -> None:
        """Wake all."""
        self.tend(float("inf"))

    def errors(self) -> Counter[str]:
        """What ended those that ended by themselves."""
        lines: Counter[str] = Counter()
        for log in self._folder.glob("worker-*.log"):
            last = log.read_text(errors="replace").splitlines()[-1:]
            lines.update(line for line in last if not line.startswith("{"))
        return lines

    def totals(self) -> Counter[str]:
        """Each metric, summed over its labels and over those that run."""
        total: Counter[str] = Counter()
        for worker in self._running:
            total.update(totals(worker.get("/metrics")[1]))
        return total
