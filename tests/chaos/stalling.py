"""`python -m tests.chaos.stalling SEED run`: `pipeline run` on a device that stalls."""

import random
import sys
import time

from pipeline import score
from pipeline.__main__ import main

P_STALL = 0.002
STALL_S = 4.0


def stall(seed: int) -> None:
    """Have some of the batches take long."""
    chance = random.Random(seed)
    scored = score.Scorer.score

    def slowly(self: score.Scorer, *args: object) -> object:
        if chance.random() < P_STALL:
            time.sleep(chance.uniform(0.0, STALL_S))
        return scored(self, *args)  # type: ignore[arg-type]

    score.Scorer.score = slowly  # type: ignore[assignment, method-assign]


if __name__ == "__main__":
    stall(int(sys.argv.pop(1)))
    main()
