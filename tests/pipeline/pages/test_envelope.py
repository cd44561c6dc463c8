"""Curves and marks as a bounded number of points."""

import numpy as np

from pipeline.pages.drawing import merged
from pipeline.pages.envelope import EnvelopeBuilder
from pipeline.records import FloatArray


def test_an_envelope_keeps_each_bins_extremes_however_it_is_cut_up() -> None:
    time_s_N = np.arange(1_000.0)
    values_N1 = np.random.default_rng(0).normal(size=(1_000, 1)).astype(np.float32)
    values_N1[::7] = np.nan

    def envelope(chunk_size: int) -> FloatArray:
        builder = EnvelopeBuilder(0.0, 999.0, n_bins=10, n_curves=1, step_s=1.0)
        for begin in range(0, 1_000, chunk_size):
            rows = slice(begin, begin + chunk_size)
            builder.add(time_s_N[rows], values_N1[rows])
        curve = builder.envelope()
        return np.column_stack([curve.low_KC, curve.high_KC])

    whole = envelope(1_000)
    assert whole.shape == (10, 2)
    assert whole[:, 0].min() == np.nanmin(values_N1)
    assert whole[:, 1].max() == np.nanmax(values_N1)
    np.testing.assert_array_equal(envelope(33), whole)


def test_a_curve_is_broken_where_readings_were_missing() -> None:
    time_s_N = np.concatenate([np.arange(100.0), np.arange(500.0, 600.0)])
    builder = EnvelopeBuilder(0.0, 599.0, n_bins=300, n_curves=1, step_s=1.0)
    builder.add(time_s_N, np.ones((200, 1), np.float32))

    [gap] = np.flatnonzero(np.isnan(builder.envelope().low_KC[:, 0])).tolist()

    assert builder.envelope().time_s_K[gap] >= 500.0


def test_marks_that_are_too_close_to_tell_apart_are_drawn_as_one() -> None:
    spans = [(5.0, 6.0), (0.0, 1.0), (1.5, 2.0), (1.6, 1.7)]

    assert merged(spans, gap_s=1.0) == [(0.0, 2.0), (5.0, 6.0)]
