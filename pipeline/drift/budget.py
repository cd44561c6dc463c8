"""False alarms: what a worker observes of late, to hold against what was promised."""

import numpy as np

OVER_S = {"1h": 3_600.0, "1d": 86_400.0, "7d": 604_800.0}
BUCKET_S = 300.0
DAY_S = 86_400.0
_N_BUCKETS = round(max(OVER_S.values()) / BUCKET_S)


class Budget:
    """Owns incidents and time watched of the last seven days, in buckets."""

    def __init__(self) -> None:
        self._n_incidents_K = np.zeros(_N_BUCKETS)
        self._unit_days_K = np.zeros(_N_BUCKETS)
        self._number_K = np.full(_N_BUCKETS, -1, dtype=np.int64)

    def add(self, n_incidents: int, unit_days: float, now_s: float) -> None:
        """Count what one turn came to; `now_s` is of the monotonic clock."""
        number = int(now_s // BUCKET_S)
        at = number % _N_BUCKETS
        if self._number_K[at] != number:
            self._number_K[at] = number
            self._n_incidents_K[at] = self._unit_days_K[at] = 0.0
        self._n_incidents_K[at] += n_incidents
        self._unit_days_K[at] += unit_days

    def per_unit_day(self, over_s: float, now_s: float) -> float:
        """Incidents per unit and day over the last `over_s`, to the bucket; NaN if nothing
        was watched. Changes nothing, so that any thread may ask."""
        newest = int(now_s // BUCKET_S)
        is_in_K = self._number_K > newest - round(over_s / BUCKET_S)
        unit_days = float(self._unit_days_K[is_in_K].sum())
        n_incidents = float(self._n_incidents_K[is_in_K].sum())
        return n_incidents / unit_days if unit_days > 0 else float("nan")
