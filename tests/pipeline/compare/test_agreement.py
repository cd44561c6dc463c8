"""How alike scores are, from a sample that does not depend on their order."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st

from pipeline.compare import agreement
from pipeline.compare.agreement import AgreementBuilder, rank_correlation
from pipeline.compare.side import Scored

UNITS = [f"unit-{n}" for n in range(5)]


def scored(at: np.ndarray, score_S: np.ndarray) -> Scored:
    """These readings of `UNITS` in turn, each with its score."""
    return Scored(
        at.astype(np.int64),
        (at % len(UNITS)).astype(np.int64),
        at.astype(np.float64),
        score_S[at].astype(np.float32),
        UNITS,
    )


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=2, max_size=30))
def test_rank_correlation_is_spearmans(pairs: list[tuple[int, int]]) -> None:
    score_S2 = np.array(pairs, dtype=np.float32)

    ours = rank_correlation(score_S2)

    if min(np.ptp(score_S2, axis=0)) == 0:
        assert np.isnan(ours)
    else:
        assert ours == pytest.approx(scipy.stats.spearmanr(score_S2).statistic, abs=1e-9)


@pytest.mark.parametrize("n_parts", [1, 3, 17])
def test_a_sample_is_the_same_in_whatever_order_the_readings_come(
    monkeypatch: pytest.MonkeyPatch, n_parts: int
) -> None:
    monkeypatch.setattr(agreement, "MAX_SAMPLE", 50)
    random = np.random.default_rng(n_parts)
    scores_S2 = np.random.default_rng(0).normal(size=(1_000, 2))

    def sample(order: np.ndarray) -> agreement.Agreement:
        builder = AgreementBuilder()
        for part in np.array_split(order, n_parts):
            at = np.sort(part)
            builder.add(scored(at, scores_S2[:, 0]), scored(at, scores_S2[:, 1]))
        return builder.agreement()

    in_order, mixed = sample(np.arange(1_000)), sample(random.permutation(1_000))

    assert in_order.n_readings == mixed.n_readings == 1_000
    assert len(mixed.score_S2) == 50
    np.testing.assert_array_equal(in_order.score_S2, mixed.score_S2)


def test_only_readings_that_both_have_scored_count() -> None:
    score_S = np.arange(10.0)
    builder = AgreementBuilder()

    builder.add(scored(np.arange(3, 10), score_S), scored(np.arange(5), -score_S))

    found = builder.agreement()
    assert found.n_readings == 2
    assert sorted(found.score_S2.tolist()) == [[3, -3], [4, -4]]


def test_of_no_readings_nothing_is_known() -> None:
    found = AgreementBuilder().agreement()

    assert found.n_readings == 0
    assert np.isnan(found.rank_correlation)
    assert np.isnan(found.quantile_2Q).all()
