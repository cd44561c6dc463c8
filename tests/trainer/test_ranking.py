"""Ranking figures: equal to the published definitions, and to a plain loop."""

import math

import numpy as np
import pytest

from pipeline.records import BoolArray
from trainer.ranking import (
    N_THRESHOLDS,
    Score,
    average_precision,
    precision_recall,
    runs,
    vus_pr,
    vus_window,
)

SPANS = {
    "noise": [(60, 75), (100, 101), (300, 340)],
    "ties": [(60, 75), (100, 101), (300, 340)],
    "edges": [(0, 4), (50, 51), (53, 60), (390, 400)],
    "long": [(90, 330)],
    "all": [(0, 400)],
    "constant": [(60, 75), (100, 101), (300, 340)],
}


def scored(kind: str) -> tuple[BoolArray, Score]:
    """Labels of this kind, and scores that know a little of them."""
    random = np.random.default_rng(list(SPANS).index(kind))
    label_N = np.zeros(400, dtype=np.bool_)
    for begin, end in SPANS[kind]:
        label_N[begin:end] = True
    score_N = random.random(400) + 0.5 * label_N
    if kind == "ties":
        score_N = np.round(3 * score_N)
    if kind == "constant":
        score_N = np.zeros(400)
    return label_N, score_N


# Average precision, and VUS-PR with windows of 0 and 40, by another implementation that
# was itself compared with TSB-AD's.
FIGURES = [
    ("noise", 0.6902022868255281, 0.6471468602312144, 0.7505746261520736),
    ("ties", 0.5040229410793859, 0.4558301699950487, 0.5605179589342315),
    ("edges", 0.6378404145647854, 0.6374137703770002, 0.6840472383230475),
    ("long", 0.9301359151098259, 0.9298700409114236, 0.9363356988317048),
    ("all", 1.0, 1.0, 1.0),
    ("constant", 0.14, 0.14, 0.2605964202364841),
]


@pytest.mark.parametrize(("kind", "precision", "narrow", "wide"), FIGURES)
def test_figures_are_those_of_another_implementation(
    kind: str, precision: float, narrow: float, wide: float
) -> None:
    label_N, score_N = scored(kind)

    assert average_precision(label_N, score_N) == pytest.approx(precision, abs=1e-12)
    assert vus_pr(label_N, score_N, window=0) == pytest.approx(narrow, abs=1e-12)
    assert vus_pr(label_N, score_N, window=40) == pytest.approx(wide, abs=1e-12)


def plain_average_precision(label_N: BoolArray, score_N: Score) -> float:
    area, recall_before = 0.0, 0.0
    for threshold in sorted(set(score_N.tolist()), reverse=True):
        is_alert_N = score_N >= threshold
        n_true = (label_N & is_alert_N).sum()
        recall = n_true / label_N.sum()
        area += (recall - recall_before) * n_true / is_alert_N.sum()
        recall_before = recall
    return area


def plain_volume(label_N: BoolArray, score_N: Score, window: int) -> float:
    """As the definition reads: threshold by threshold, reading by reading."""
    n, ordered = len(label_N), sorted(score_N.tolist(), reverse=True)
    volume = 0.0
    for width in range(window + 1):
        weight_N = label_N.astype(float)
        inside_N = label_N.copy()
        for begin, end in runs(label_N).tolist():
            for i in range(max(begin - width // 2, 0), min(end + width // 2 + 1, n)):
                inside_N[i] = True
                distance = max(begin - i, i - end, 0)
                weight_N[i] += np.sqrt(1 - distance / width) if distance else 0.0
        weight_N = np.where(label_N, 1.0, np.minimum(weight_N, 1.0))
        area, recall_before = 0.0, 0.0
        for k in range(N_THRESHOLDS):
            is_alert_N = score_N >= ordered[int(k * (n - 1) / (N_THRESHOLDS - 1))]
            n_true = float(weight_N[is_alert_N].sum())
            n_labelled = label_N.sum() + weight_N[is_alert_N & ~label_N].sum()
            spans = runs(inside_N).tolist()
            found = np.mean([is_alert_N[a : b + 1].any() for a, b in spans])
            recall = min(n_true / ((label_N.sum() + n_labelled) / 2), 1.0) * float(found)
            area += (recall - recall_before) * n_true / is_alert_N.sum()
            recall_before = recall
        volume += area / (window + 1)
    return volume


@pytest.mark.parametrize("kind", SPANS)
def test_average_precision_is_the_sum_over_every_threshold(kind: str) -> None:
    label_N, score_N = scored(kind)

    expected = plain_average_precision(label_N, score_N)
    assert average_precision(label_N, score_N) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("window", [0, 1, 9])
@pytest.mark.parametrize("kind", SPANS)
def test_vus_pr_is_the_volume_under_the_surface(kind: str, window: int) -> None:
    label_N, score_N = scored(kind)

    expected = plain_volume(label_N, score_N, window)
    assert vus_pr(label_N, score_N, window) == pytest.approx(expected, abs=1e-9)


def test_without_labels_there_is_nothing_to_rank() -> None:
    label_N, score_N = np.zeros(20, dtype=np.bool_), np.arange(20.0)

    assert math.isnan(average_precision(label_N, score_N))
    assert math.isnan(vus_pr(label_N, score_N, window=5))


def test_a_perfect_ranking_has_an_average_precision_of_1() -> None:
    label_N, _ = scored("noise")

    assert average_precision(label_N, label_N.astype(float)) == 1.0


def test_only_the_order_of_scores_counts() -> None:
    label_N, score_N = scored("noise")

    for changed_N in (1000 * score_N, np.exp(score_N)):
        assert average_precision(label_N, changed_N) == average_precision(label_N, score_N)
        assert vus_pr(label_N, changed_N, 10) == vus_pr(label_N, score_N, 10)


def test_equal_scores_are_one_threshold() -> None:
    label_N = np.array([True, False, False, True])

    precision, recall = precision_recall(label_N, np.array([2.0, 1.0, 0.0, 1.0]))

    np.testing.assert_allclose(precision, [1.0, 2 / 3, 0.5])
    np.testing.assert_allclose(recall, [0.5, 1.0, 1.0])


def test_runs_have_their_last_index_included() -> None:
    flag_N = np.array([True, True, False, True, False, False, True])

    assert runs(flag_N).tolist() == [[0, 1], [3, 3], [6, 6]]
    assert runs(~flag_N & flag_N).tolist() == []


def test_the_vus_window_is_the_period_of_the_sensor() -> None:
    noise_N = 0.1 * np.random.default_rng(0).normal(size=900)
    wave_N = np.sin(2 * np.pi * np.arange(900) / 24) + noise_N

    assert vus_window(wave_N) == 24


@pytest.mark.parametrize(
    "sensor_N",
    [np.ones(100), np.arange(500.0), np.array([1.0]), np.array([1.0, np.nan] * 50)],
    ids=["constant", "ramp", "single", "missing"],
)
def test_without_a_period_it_is_125(sensor_N: Score) -> None:
    assert vus_window(sensor_N) == 125
