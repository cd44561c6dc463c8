"""What the report shows of a detector itself."""

import numpy as np
import pytest

from pipeline.detector.artifact import LoadedDetector
from pipeline.drift.score_bins import N_BINS, SCORE_EDGES, score_counts
from pipeline.window import cut_windows
from tests import builders
from tests.trainer.training import TrainedModel
from trainer import portrait as portrait_module
from trainer.portrait import Portrait, PortraitBuilder, ScoredWindows


@pytest.fixture
def loaded(trained: TrainedModel) -> LoadedDetector:
    return trained("vae").loaded


def portrait_of(loaded: LoadedDetector, pieces: int = 1, n_labelled: int = 0) -> Portrait:
    """Of a series whose windows score 0, 1, 2, ... hundredths, the last ones labelled."""
    windows = cut_windows(builders.sensor_series(400), loaded.detector.window)
    n = len(windows)
    whole = ScoredWindows(
        "unit-0",
        windows,
        np.arange(n, dtype=np.float64),
        (np.arange(n) / 100).astype(np.float32),
        np.tile(np.array([0.2, 0.7, 0.1], np.float32), (n, 1)),
        np.arange(n) >= n - n_labelled,
    )
    builder = PortraitBuilder(loaded)
    for at in np.array_split(np.arange(n), pieces):
        builder.add(whole.take(at))
    return builder.portrait()


def test_the_worst_window_is_that_with_the_highest_score(loaded: LoadedDetector) -> None:
    worst = portrait_of(loaded).worst

    series_NF = builders.sensor_series(400)
    np.testing.assert_array_equal(worst.observed_TF, series_NF[-loaded.detector.window :])
    assert worst.score == pytest.approx(3.92)
    assert worst.expected_TF.shape == worst.observed_TF.shape


def test_the_usual_one_has_the_median_score_of_those_not_labelled(
    loaded: LoadedDetector,
) -> None:
    assert portrait_of(loaded).usual.score == pytest.approx(1.96)
    assert portrait_of(loaded, n_labelled=193).usual.score == pytest.approx(1.0, abs=0.01)


def test_every_window_is_counted_by_its_score(loaded: LoadedDetector) -> None:
    portrait = portrait_of(loaded, pieces=7, n_labelled=100)

    assert portrait.n_normal_K.sum() == 293
    assert portrait.n_labelled_K.sum() == 100


def test_pieces_are_not_seen_in_the_map(
    loaded: LoadedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portrait_module, "N_DOTS", 60)
    monkeypatch.setattr(portrait_module, "MIN_DOTS", 50)

    whole, cut = (portrait_of(loaded, pieces).dots for pieces in (1, 13))

    assert whole is not None
    assert cut is not None
    assert 60 <= len(whole.xy_B2) <= 120
    np.testing.assert_allclose(cut.xy_B2, whole.xy_B2, atol=1e-5)
    np.testing.assert_array_equal(cut.is_over_B, whole.is_over_B)


def test_few_windows_make_no_map(
    loaded: LoadedDetector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(portrait_module, "MIN_DOTS", 1_000)

    assert portrait_of(loaded).dots is None


def test_scores_beyond_the_bins_count_in_the_outermost() -> None:
    counts_K = score_counts(np.array([0.0, 1e-9, 1.0, 1e9], dtype=np.float32))

    assert (counts_K[0], counts_K[-1], counts_K.sum()) == (2, 1, 4)
    assert len(counts_K) == N_BINS == len(SCORE_EDGES) - 1
