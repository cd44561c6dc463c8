"""Whether scores depend on what else is scored: tried on the machine that is to score."""

from dataclasses import replace

import numpy as np

from pipeline.detector.detector import Detector
from pipeline.window import cut_windows

N_WINDOWS = 256
SIZES = (1, 2, 3, 5, 8, 13, 40)
"""Of the batches that are compared with all windows at once."""
MISSING_SHARE = 0.02


def is_steady(detector: Detector) -> bool:
    """Whether windows measure the same to the last bit in a few small batches and in a
    large one, on the device where the networks are.

    A trial and no proof: `rows` chooses sizes by what was found on some processors, and
    other processors or versions of PyTorch may need others. It takes some 10 to 20 ms.
    """
    random = np.random.default_rng(0)
    shape = (N_WINDOWS + detector.window - 1, len(detector.sensors))
    scaled_NF = random.normal(size=shape).astype(np.float32)
    scaled_NF[random.random(shape) < MISSING_SHARE] = np.nan
    windows = cut_windows(detector.scaling.unscaled(scaled_NF), detector.window)
    among_many = detector.measure(windows)
    for size in SIZES:
        begin = int(random.integers(N_WINDOWS - size))
        part = slice(begin, begin + size)
        among_few = detector.measure(replace(windows, start_B=windows.start_B[part]))
        for few, many in zip(among_few, among_many, strict=True):
            if not np.array_equal(few, many[part], equal_nan=True):
                return False
    return True
