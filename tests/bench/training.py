"""`fit_network` against a training loop as one would write it by hand.

Both fit the same members side by side, in mini-batches of the same size, on one thread. The
loop has all windows in memory as one tensor and takes steps, and that is all: what is
missing is not looked for, gradients are not shortened, the step size stays, nobody is told
of the loss. `fit_network` has the readings alone, and cuts the windows of each step. What
is counted is processor time, of which a busy machine takes from neither.
"""

import time

import numpy as np
import torch

from pipeline.detector.families import build_network
from pipeline.detector.network import default_shape
from pipeline.window import Windows
from tests.bench.protocol import Goal, Line, in_turn
from tests.bench.scoring import WINDOW, windows_of_poll
from tests.bench.site import AE, ENSEMBLE, Site
from tests.bench.stream import SENSORS
from trainer.fit import FitSettings, fit_network
from trainer.settings import TrainerSettings
from trainer.train import FAMILIES_OF

N_WINDOWS = 40_000
STEPS = 100
MIN_REPEATS = 5


def run(site: Site) -> list[Line]:
    """A dense autoencoder, and what the default ensemble is made of."""
    return [line(site, family) for family in (AE, *FAMILIES_OF[ENSEMBLE])]


def line(site: Site, family: str) -> Line:
    """Windows/s of one family's training, each member's counted."""
    windows = _scaled(windows_of_poll(N_WINDOWS)[0])
    # A copy, each window's values in a row: as one would make it beforehand.
    windows_BTF = torch.from_numpy(np.ascontiguousarray(windows.gather(slice(None))))
    steps = site.scaled(STEPS)
    # Arrays and caches that are touched for the first time.
    _by_fit_network(family, windows, 5)
    _by_hand(family, windows_BTF, 5)
    ours, theirs = in_turn(
        max(MIN_REPEATS, site.n_repeats),
        lambda: _by_fit_network(family, windows, steps),
        lambda: _by_hand(family, windows_BTF, steps),
    )
    return Line(
        name=f"training {family}",
        unit="windows/s",
        ours=ours,
        theirs=theirs,
        against="a loop by hand",
        goals=(Goal("ratio", ">=", 0.85),),
    )


def _scaled(windows: Windows) -> Windows:
    flat_MF = windows.flat_MF
    flat_MF = (flat_MF - flat_MF.mean(axis=0)) / flat_MF.std(axis=0)
    return Windows(flat_MF, windows.start_B, windows.length)


def _by_fit_network(family: str, windows: Windows, steps: int) -> float:
    defaults = TrainerSettings()
    settings = FitSettings(
        steps=steps,
        epochs=steps,
        batch_windows=defaults.batch_windows,
        learning_rate=defaults.learning_rate,
        seed=0,
    )
    network = build_network(family, default_shape(WINDOW, len(SENSORS), defaults.folds))
    cpu = torch.device("cpu")
    began_s = time.process_time()
    fit_network(network, [windows] * defaults.folds, settings, cpu, lambda done, loss: None)
    return _windows_per_s(steps, began_s)


def _by_hand(family: str, windows_BTF: torch.Tensor, steps: int) -> float:
    defaults = TrainerSettings()
    members, batch = defaults.folds, defaults.batch_windows
    network = build_network(family, default_shape(WINDOW, len(SENSORS), members))
    began_s = time.process_time()
    network.train()
    # The fastest that torch has; by default it takes three times as long.
    optimizer = torch.optim.Adam(
        network.parameters(), lr=defaults.learning_rate, fused=True
    )
    observed_MBTF = torch.ones(members, batch, *windows_BTF.shape[1:])
    for _ in range(steps):
        x_MBTF = windows_BTF[torch.randint(len(windows_BTF), (members, batch))]
        loss = network.loss(x_MBTF, observed_MBTF, 1.0).sum()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return _windows_per_s(steps, began_s)


def _windows_per_s(steps: int, began_s: float) -> float:
    defaults = TrainerSettings()
    n_windows = steps * defaults.folds * defaults.batch_windows
    return n_windows / (time.process_time() - began_s)
