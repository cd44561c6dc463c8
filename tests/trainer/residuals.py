"""Held-out rows that a scoring is fitted on, as the tests of it need them."""

import numpy as np

from pipeline.detector.residual import ResidualScoring
from pipeline.records import FloatArray
from trainer.held_out import Rows
from trainer.surprise import fit_residual_scoring


def normal(n_rows: int, n_sensors: int, seed: int = 0) -> FloatArray:
    random = np.random.default_rng(seed)
    return random.normal(size=(n_rows, n_sensors)).astype(np.float32)


def rows(
    observed_BF: FloatArray, expected_BF: FloatArray | None = None, series_rows: int = 10**6
) -> Rows:
    """Rows without a gap in series of so many; nothing is expected unless given."""
    return Rows(
        observed_BF,
        np.ones(observed_BF.shape, dtype=np.bool_),
        np.zeros_like(observed_BF) if expected_BF is None else expected_BF,
        np.arange(len(observed_BF)) % series_rows,
    )


def fitted(
    rows: Rows, drift_F: list[float] | None = None, max_span: int = 32
) -> ResidualScoring:
    n_sensors = rows.observed_BF.shape[1]
    return fit_residual_scoring(
        rows,
        np.ones(n_sensors, dtype=np.bool_),
        np.array(drift_F or [0.0] * n_sensors, dtype=np.float32),
        max_span,
    )
