"""Faults that are put into readings."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import InputError
from pipeline.records import BoolArray, FloatArray
from trainer.faults import KINDS, MAX_SPIKE
from trainer.synthetic.faults import (
    Faults,
    FaultSpec,
    parse_fault,
)

SENSORS = ("pressure", "flow:in@2", "x@0.1")


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("drift", FaultSpec("drift", None, 0.01)),
        ("drift@0.2", FaultSpec("drift", None, 0.2)),
        ("stuck:pressure", FaultSpec("stuck", 0, 0.01)),
        ("stuck:pressure@0.2", FaultSpec("stuck", 0, 0.2)),
        ("noise:flow:in@2", FaultSpec("noise", 1, 0.01)),
        ("noise:flow:in@2@0.2", FaultSpec("noise", 1, 0.2)),
        ("noise:x@0.1", FaultSpec("noise", 2, 0.01)),
    ],
)
def test_a_fault_is_asked_for_by_kind_sensor_and_share(text: str, spec: FaultSpec) -> None:
    assert parse_fault(text, SENSORS) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("explosion", "expected one of spike, drift"),
        ("", "expected one of spike"),
        ("spike:speed", "no sensor 'speed', it has pressure"),
        ("spike:", "no sensor ''"),
        ("spike@0", "expected a share"),
        ("spike@0.6", "expected a share"),
        ("spike@nan", "expected a share"),
        ("spike@much", "expected a share"),
    ],
)
def test_what_is_no_fault_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_fault(text, SENSORS)


def injected(specs: list[FaultSpec], cuts: list[int]) -> tuple[FloatArray, BoolArray]:
    """Two units' readings, given in pieces of these lengths."""
    n = sum(cuts)
    x_UNF = np.arange(2 * n * 3, dtype=np.float32).reshape(2, n, 3)
    faults = Faults(specs, 3, size=1e6, length=20, seed=0)
    labels, begin = [], 0
    for cut in cuts:
        labels.append(faults.inject(x_UNF[:, begin : begin + cut]))
        begin += cut
    return x_UNF, np.concatenate(labels, axis=1)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "noise"])
def test_faults_are_the_same_in_whatever_pieces_the_readings_come(kind: str) -> None:
    specs = [FaultSpec(kind, 1, 0.2)]

    whole = injected(specs, [400])
    in_pieces = injected(specs, [100, 1, 99, 200])

    np.testing.assert_array_equal(whole[0], in_pieces[0])
    np.testing.assert_array_equal(whole[1], in_pieces[1])


@given(st.lists(st.sampled_from(KINDS), max_size=4), st.integers(0, 3))
def test_only_labelled_readings_are_changed(kinds: list[str], seed: int) -> None:
    x_UNF = np.random.default_rng(seed).normal(size=(2, 200, 3)).astype(np.float32)
    before_UNF = x_UNF.copy()
    faults = Faults([FaultSpec(kind, None, 0.1) for kind in kinds], 3, 5.0, 10, seed)

    label_UN = faults.inject(x_UNF)

    is_changed_UN = (x_UNF != before_UNF).any(axis=2)
    assert not (is_changed_UN & ~label_UN).any()
    assert kinds or not label_UN.any()


def test_about_the_share_asked_for_is_faulty() -> None:
    x_UNF = np.zeros((5, 20_000, 3), np.float32)

    label_UN = Faults([FaultSpec("shift", None, 0.1)], 3, 5.0, 30, 0).inject(x_UNF)

    assert label_UN.mean() == pytest.approx(0.1, rel=0.15)


def test_a_share_of_windows_has_a_fault_inside() -> None:
    x_BTF = np.zeros((2_000, 16, 3), np.float32)

    label_BT = Faults([FaultSpec("spike", 2, 0.2)], 3, 5.0, 30, 0).inject_windows(x_BTF)

    assert label_BT.any(axis=1).mean() == pytest.approx(0.2, rel=0.2)
    assert label_BT.sum(axis=1).max() == MAX_SPIKE
    np.testing.assert_array_equal(label_BT, x_BTF[:, :, 2] != 0)
