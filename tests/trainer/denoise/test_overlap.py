"""The mean of a row's reconstructions, however the stream is cut."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.detector.latent import reconstructed
from pipeline.errors import InputError
from pipeline.records import FloatArray, IntArray
from pipeline.window import cut_windows
from tests import builders
from trainer.denoise import overlap
from trainer.denoise.overlap import Finished, Overlap, Rows
from trainer.denoise.smoothing import REACH

DETECTOR = builders.detector("vae+dae")
T = DETECTOR.window


def fed(unit_N: IntArray, values_NF: FloatArray, cuts: Sequence[int]) -> list[Finished]:
    """All that is finished of rows that come in pieces, and at the end."""
    stream = Overlap(DETECTOR)
    finished: list[Finished] = []
    n_units = int(unit_N.max(initial=-1)) + 1
    for part_N in np.split(np.arange(len(unit_N)), sorted(cuts)):
        index_N = part_N[np.argsort(unit_N[part_N], kind="stable")]
        rows = Rows(
            index_N, index_N.astype(np.float64), index_N % 2 == 0, values_NF[index_N]
        )
        finished += stream.extend(rows, unit_N[index_N], None, n_units)
    return finished + list(stream.finish(None))


def averaged(values_NF: FloatArray) -> FloatArray:
    """Scaled reconstructions of one unit, window by window."""
    sums_NF, n_N1 = np.zeros_like(values_NF), np.zeros((len(values_NF), 1), np.float32)
    windows = cut_windows(values_NF, T)
    for start, x_TF in zip(windows.start_B, reconstructed(DETECTOR, windows), strict=True):
        sums_NF[start : start + T] += x_TF
        n_N1[start : start + T] += 1
    with np.errstate(invalid="ignore"):
        return DETECTOR.scaling.scaled(sums_NF / n_N1)


@given(data=st.data(), n_rows=st.integers(1, 60))
@settings(max_examples=30)
def test_each_row_is_finished_once_as_the_mean_over_its_windows(
    data: st.DataObject, n_rows: int
) -> None:
    unit_N = np.array(
        data.draw(st.lists(st.integers(0, 2), min_size=n_rows, max_size=n_rows))
    )
    cuts = data.draw(st.lists(st.integers(0, n_rows), max_size=5))
    values_NF = builders.sensor_series(n_rows)

    finished = fed(unit_N, values_NF, cuts)

    row_E = np.concatenate([f.rows.row_N for f in finished])
    assert sorted(row_E) == list(range(n_rows))
    np.testing.assert_array_equal(
        np.concatenate([f.rows.values_NF for f in finished]), values_NF[row_E]
    )
    np.testing.assert_array_equal(
        np.concatenate([f.unit_E for f in finished]), unit_N[row_E]
    )
    expected_EF = np.concatenate([f.expected_MF[f.at_E] for f in finished])
    for unit in range(3):
        of_unit = np.flatnonzero(unit_N == unit)
        at_E = np.argsort(row_E)[of_unit]
        np.testing.assert_allclose(
            expected_EF[at_E], averaged(values_NF[of_unit]), rtol=1e-4, atol=1e-5
        )


@given(cuts=st.lists(st.integers(0, 60), max_size=5))
@settings(max_examples=20)
def test_around_a_row_stand_its_neighbours_and_no_others(cuts: list[int]) -> None:
    unit_N = np.arange(60) % 2

    for finished in fed(unit_N, builders.sensor_series(60), cuts):
        for e, at in enumerate(finished.at_E.tolist()):
            row = int(finished.rows.row_N[e])
            n_before = min(row // 2, REACH)
            n_after = min((58 + row % 2 - row) // 2, REACH)
            assert at - max(finished.first_E[e], at - REACH) == n_before
            assert min(finished.last_E[e], at + REACH) - at == n_after


def test_units_that_would_take_too_much_memory_are_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(overlap, "MAX_STATE_BYTES", 1_000)

    with pytest.raises(InputError, match="more than 1 units"):
        fed(np.arange(3), builders.sensor_series(3), [])


def test_few_units_at_a_time_are_worked_on(monkeypatch: pytest.MonkeyPatch) -> None:
    unit_N = np.arange(90) % 3
    at_once = fed(unit_N, builders.sensor_series(90), [])
    monkeypatch.setattr(overlap, "MAX_FLAT_VALUES", 1)

    in_parts = fed(unit_N, builders.sensor_series(90), [])

    assert len(at_once) < len(in_parts)
    for one, other in zip(
        (np.concatenate([f.expected_MF[f.at_E] for f in at_once])),
        (np.concatenate([f.expected_MF[f.at_E] for f in in_parts])),
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4)
