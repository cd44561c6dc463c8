import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.tuning.faults import KINDS, Fault, faulty


def applied(kind: str, x: list[float], seed: int = 0, sign: float = 1.0) -> list[float]:
    fault = Fault(kind, sensor=0, begin=0, length=len(x), sign=sign)
    values = np.array(x, dtype=np.float32)
    changed = faulty(values, fault, 7.0, 4.0, np.random.default_rng(seed))
    return list(changed.tolist())


def test_a_shift_lies_its_size_off() -> None:
    assert applied("shift", [1, 2, 3]) == [5, 6, 7]


def test_a_fault_may_go_down() -> None:
    assert applied("spike", [1, 2], sign=-1.0) == [-3, -2]


def test_a_drift_gets_there_at_its_end() -> None:
    assert applied("drift", [0, 0, 0, 0]) == [1, 2, 3, 4]


def test_a_stuck_sensor_stands_at_its_last_value_before() -> None:
    assert applied("stuck", [1, 2, 3]) == [7, 7, 7]


def test_noise_depends_on_its_seed_alone() -> None:
    assert applied("noise", [0.0] * 5, seed=1) == applied("noise", [0.0] * 5, seed=1)
    assert applied("noise", [0.0] * 5, seed=1) != applied("noise", [0.0] * 5, seed=2)


@pytest.mark.parametrize("kind", KINDS)
@given(n=st.integers(1, 20), missing=st.integers(0, 19))
def test_what_was_missing_stays_missing(kind: str, n: int, missing: int) -> None:
    x = [float("nan") if i == missing else 1.0 for i in range(n)]

    changed = applied(kind, x)

    assert [bool(np.isnan(c)) for c in changed] == [i == missing for i in range(n)]
