"""What is done to Kafka, and to the way to it."""

import time
from collections import Counter
from random import Random

from pipeline.kafka_server import LocalKafka
from tests.chaos.proxy import Proxy
from tests.processes import hung

HANGS_S = (0.5, 8.0)
CUT_S = (0.2, 8.0)
SLOWED_S = (1.0, 8.0)
DELAY_S = (0.01, 0.3)


class Trouble:
    """Owns when the connection heals. Counts what was done."""

    def __init__(self, kafka: LocalKafka, proxy: Proxy, chance: Random) -> None:
        self._kafka = kafka
        self._proxy = proxy
        self._chance = chance
        self._heal_at_s = 0.0
        self.done: Counter[str] = Counter()

    def make(self, now_s: float) -> None:
        """Do one thing."""
        chance = self._chance
        action = chance.choice(["hang", "restart", "cut", "cut", "hold", "slow"])
        self.done[f"broker: {action}" if action in ("hang", "restart") else action] += 1
        if action == "hang":
            with hung(self._kafka):
                time.sleep(chance.uniform(*HANGS_S))
        elif action == "restart":
            self._kafka.restart()
        elif action == "slow":
            self._proxy.slow(chance.uniform(*DELAY_S))
            self._heal_at_s = now_s + chance.uniform(*SLOWED_S)
        else:
            (self._proxy.cut if action == "cut" else self._proxy.hold)()
            self._heal_at_s = now_s + chance.uniform(*CUT_S)

    def tend(self, now_s: float) -> None:
        """Heal the connection once its time has come."""
        if now_s >= self._heal_at_s:
            self._proxy.heal()
