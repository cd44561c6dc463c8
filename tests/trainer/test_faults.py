"""Faults of a sensor."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.faults import KINDS, Fault, faulty

X_M = np.arange(4, dtype=np.float32)


def changed(kind: str, at: int = 0, sign: float = 1.0) -> list[float]:
    fault = Fault(kind, 0, 10, 8, sign)
    random = np.random.default_rng(0)
    changed_M = faulty(X_M, fault, at, held=7.0, size=2.0, random=random)
    return [float(value) for value in changed_M]


def test_a_spike_and_a_shift_lie_off_by_their_size() -> None:
    assert changed("spike") == changed("shift") == [2.0, 3.0, 4.0, 5.0]
    assert changed("shift", sign=-1.0) == [-2.0, -1.0, 0.0, 1.0]


def test_a_drift_is_as_far_off_as_its_size_at_its_end() -> None:
    assert changed("drift", at=4) == [1.25, 2.5, 3.75, 5.0]


def test_a_stuck_sensor_stands_where_it_was_before() -> None:
    assert changed("stuck") == [7.0] * 4


def test_a_sensor_that_drops_out_has_no_value() -> None:
    assert np.isnan(changed("dropout")).all()


def test_noise_has_the_size_as_its_standard_deviation() -> None:
    fault = Fault("noise", 0, 0, 10_000, 1.0)
    zeros = np.zeros(10_000, np.float32)

    noise = faulty(zeros, fault, 0, 0.0, 2.0, np.random.default_rng(0))

    assert noise.std() == pytest.approx(2.0, rel=0.05)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "dropout"])
@given(n=st.integers(1, 20), missing=st.integers(0, 19))
def test_what_was_missing_stays_missing(kind: str, n: int, missing: int) -> None:
    x = [float("nan") if i == missing else 1.0 for i in range(n)]

    changed_M = faulty(
        np.array(x, np.float32),
        Fault(kind, 0, 0, n, 1.0),
        0,
        7.0,
        4.0,
        np.random.default_rng(0),
    )

    assert np.isnan(changed_M).tolist() == [i == missing for i in range(n)]
