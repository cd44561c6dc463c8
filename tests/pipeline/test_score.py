"""One poll's windows to scores: the same however the stream is cut into polls."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.detector import detector as detector_module
from pipeline.detector.detector import Detector, Measures
from pipeline.detector.elbo import ElboScoring
from pipeline.detector.families import FAMILIES
from pipeline.detector.latent import Encoder
from pipeline.detector.scaling import Scaling
from pipeline.errors import InputError
from pipeline.records import IntArray, Scores
from pipeline.score import Scorer, choose_device
from pipeline.window import SlidingWindows, Windows, cut_windows
from tests import builders
from tests.builders import SENSORS, sensor_series

CPU = torch.device("cpu")
SCORING = builders.residual_scoring(("burst", 1), ("shift", 4), ("burst", 8))
FAULTY_NF = 1e3 * sensor_series(20)
N_UNITS, N_ROWS = 3, 30
UNITS = [f"unit-{row}" for row in range(N_UNITS)]


def detector(families: str = "ae") -> Detector:
    return builders.detector(families, scoring=SCORING)


def assert_same(scores: Scores, expected: Scores) -> None:
    for column, expected_column in zip(scores, expected, strict=True):
        np.testing.assert_array_equal(column, expected_column)


def joined(parts: list[Scores]) -> Scores:
    return Scores(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def windows(n_readings: int = 50, seed: int = 0) -> Windows:
    return cut_windows(sensor_series(n_readings, seed), length=8)


def of_one_unit(scorer: Scorer, of: Windows, row: int = 0) -> Scores:
    return scorer.score(of, np.full(len(of), row, np.int64), UNITS[: row + 1])


def test_a_scorer_says_of_a_unit_what_its_detector_says_of_the_series() -> None:
    scores = of_one_unit(Scorer(detector(), CPU), windows())

    assert_same(scores, detector().score_series(sensor_series(50)))


@st.composite
def streams(draw: st.DrawFn) -> list[list[int]]:
    """Polls of readings that each belong to one of the units."""
    rows = draw(
        st.permutations([row for row in range(N_UNITS) for _ in range(N_ROWS)]).map(list)
    )
    cuts = sorted(draw(st.lists(st.integers(0, len(rows)), max_size=12)))
    return [rows[a:b] for a, b in itertools.pairwise([0, *cuts, len(rows)])]


@settings(max_examples=30)
@given(stream=streams())
def test_scores_do_not_depend_on_how_the_stream_is_cut_and_interleaved(
    stream: list[list[int]],
) -> None:
    scorer, live = Scorer(detector("ae+vae"), CPU), SlidingWindows(8, len(SENSORS))
    series = [sensor_series(N_ROWS, seed) for seed in range(N_UNITS)]
    n_seen = [0] * N_UNITS
    found: list[list[Scores]] = [[] for _ in range(N_UNITS)]
    for rows in stream:
        values = []
        for row in rows:
            values.append(series[row][n_seen[row]])
            n_seen[row] += 1
        polled = builders.readings(
            [f"unit-{row}" for row in rows],
            time_s_N=[0.0] * len(rows),
            values_NF=np.array(values, np.float32).reshape(-1, len(SENSORS)),
        )
        [emitted] = live.extend(polled, np.array(rows, np.int64), N_UNITS)
        scores = scorer.score(emitted.windows, emitted.row_B, UNITS)
        for row in range(N_UNITS):
            of_unit_B = emitted.row_B == row
            found[row].append(Scores(*(column[of_unit_B] for column in scores)))

    for row in range(N_UNITS):
        expected = detector("ae+vae").score_series(series[row])
        assert_same(joined(found[row]), expected)


@settings(max_examples=50)
@given(
    order=st.lists(st.integers(0, N_UNITS - 1), min_size=1, max_size=60),
    cuts=st.lists(st.integers(0, 60), max_size=10),
)
def test_scores_of_the_same_measures_are_the_same_to_the_last_bit(
    order: list[int], cuts: list[int]
) -> None:
    whole = detector()
    measures = whole.measure(windows(70))
    row_B = np.array(order)
    expected_B = np.empty(len(order), np.float32)
    for row in set(order):
        of_unit_B: IntArray = np.flatnonzero(row_B == row)
        taken = Measures(*(column[of_unit_B] for column in measures))
        alone = whole.score(taken, np.zeros_like(of_unit_B), 1, whole.memory())
        expected_B[of_unit_B] = alone.score_B

    memory, found_B = whole.memory(), np.empty_like(expected_B)
    bounds = [0, *sorted(min(cut, len(order)) for cut in cuts), len(order)]
    for begin, end in itertools.pairwise(bounds):
        poll_B = begin + np.argsort(row_B[begin:end], kind="stable")
        taken = Measures(*(column[poll_B] for column in measures))
        found_B[poll_B] = whole.score(taken, row_B[poll_B], N_UNITS, memory).score_B

    np.testing.assert_array_equal(found_B, expected_B)


def test_a_fault_counts_for_as_long_as_the_longest_statistic_looks_back() -> None:
    scorer = Scorer(detector(), CPU)
    of_one_unit(scorer, cut_windows(FAULTY_NF, length=8))

    after_B = of_one_unit(scorer, windows()).score_B

    alone_B = of_one_unit(Scorer(detector(), CPU), windows()).score_B
    assert (after_B[:7] > 2 * alone_B[:7]).all()
    np.testing.assert_array_equal(after_B[7:], alone_B[7:])


def test_a_forgotten_unit_starts_without_a_past_and_the_others_keep_theirs() -> None:
    scorer = Scorer(detector(), CPU)
    for row in (0, 1):
        of_one_unit(scorer, cut_windows(FAULTY_NF, length=8), row)

    scorer.forget(np.array([0]))

    alone_B = of_one_unit(Scorer(detector(), CPU), windows()).score_B
    forgotten_B = of_one_unit(scorer, windows(), row=0).score_B
    np.testing.assert_array_equal(forgotten_B, alone_B)
    assert (of_one_unit(scorer, windows(), row=1).score_B[:7] > 2 * alone_B[:7]).all()


def test_a_scorer_may_begin_a_new_stream() -> None:
    scorer = Scorer(detector(), CPU)
    of_one_unit(scorer, cut_windows(FAULTY_NF, length=8))

    scorer.forget_all()

    alone_B = of_one_unit(Scorer(detector(), CPU), windows()).score_B
    np.testing.assert_array_equal(of_one_unit(scorer, windows()).score_B, alone_B)


def test_a_row_that_never_had_a_window_may_be_forgotten() -> None:
    Scorer(detector(), CPU).forget(np.array([3]))  # raises nothing


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("max_windows", [1, 7, 43])
def test_more_windows_than_memory_allows_are_scored_in_several_launches(
    max_windows: int, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = of_one_unit(Scorer(detector(family), CPU), windows())
    n_values = max_windows * 16 * len(SENSORS)
    monkeypatch.setitem(detector_module.MAX_VALUES_PER_LAUNCH, "cpu", n_values)

    in_launches = of_one_unit(Scorer(detector(family), CPU), windows())

    assert_same(in_launches, at_once)


def test_windows_larger_than_memory_allows_are_scored_a_few_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at_once = of_one_unit(Scorer(detector(), CPU), windows())
    monkeypatch.setitem(detector_module.MAX_VALUES_PER_LAUNCH, "cpu", 1)

    assert_same(of_one_unit(Scorer(detector(), CPU), windows()), at_once)


def test_each_units_readings_are_scaled_by_its_own_scaler() -> None:
    """A unit at another level and of another spread scores as the first one does."""
    whole = detector()
    scaler = whole.scaling.pooled
    mean_UF = np.stack([10.0 * scaler.mean_F, scaler.mean_F + 3.0])
    scale_UF = np.stack([scaler.scale_F / 2.0, scaler.scale_F * 4.0])
    scaling = Scaling(scaler, ["unit-2", "unit-1"], mean_UF, scale_UF)
    x_NF = scaling.scaled(sensor_series(30))
    flat_MF = np.concatenate([scaling.unscaled(x_NF, scaling.line(unit)) for unit in UNITS])
    start_B = np.concatenate([30 * row + np.arange(23) for row in range(N_UNITS)])
    row_B = np.repeat(np.arange(N_UNITS), 23)

    scorer = Scorer(replace(whole, scaling=scaling), CPU)
    scores = scorer.score(Windows(flat_MF, start_B, 8), row_B, UNITS)

    expected = whole.score_series(sensor_series(30))
    for row, unit in enumerate(UNITS):
        of_unit_B = row_B == row
        np.testing.assert_allclose(scores.score_B[of_unit_B], expected.score_B, rtol=1e-3)
        found_BF = scaling.scaled(scores.expected_BF[of_unit_B], scaling.line(unit))
        expected_BF = scaling.scaled(expected.expected_BF)
        np.testing.assert_allclose(found_BF, expected_BF, atol=1e-3)


def test_units_that_were_not_trained_on_are_told_once() -> None:
    whole = detector()
    scaler = whole.scaling.pooled
    scaling = Scaling(scaler, ["unit-1"], scaler.mean_F[None], scaler.scale_F[None])
    scorer = Scorer(replace(whole, scaling=scaling), CPU)

    told = []
    for row in (0, 1, 2, 0):
        of_one_unit(scorer, windows(), row)
        told.append(scorer.take_unknown())

    assert told == [["unit-0"], [], ["unit-2"], []]


def test_where_all_units_are_pooled_none_is_unknown() -> None:
    scorer = Scorer(detector(), CPU)

    of_one_unit(scorer, windows())

    assert scorer.take_unknown() == []


def test_a_row_that_goes_to_another_unit_takes_that_units_scaler() -> None:
    whole = detector()
    scaler = whole.scaling.pooled
    far_UF = scaler.mean_F[None] + 100.0 * scaler.scale_F
    scaling = Scaling(scaler, ["far"], far_UF, scaler.scale_F[None])
    scorer = Scorer(replace(whole, scaling=scaling), CPU)
    row_B = np.zeros(len(windows()), np.int64)
    far = scorer.score(windows(), row_B, ["far"])

    scorer.forget(np.array([0]))
    near = scorer.score(windows(), row_B, ["near"])

    assert_same(near, whole.score_series(sensor_series(50)))
    assert (far.score_B > 10 * near.score_B).all()


def test_no_windows_have_no_scores_and_change_nothing() -> None:
    scorer = Scorer(detector(), CPU)
    of_one_unit(scorer, windows(20))

    scores = of_one_unit(scorer, windows(5))

    assert [column.shape for column in scores] == [(0,), *[(0, len(SENSORS))] * 3, (0, 0)]
    series_NF = sensor_series(40)
    rest = cut_windows(series_NF[13:], length=8)
    expected = detector().score_series(series_NF)
    assert_same(of_one_unit(scorer, rest), Scores(*(c[13:] for c in expected)))


def test_a_scorer_remembers_as_many_windows_as_a_score_depends_on() -> None:
    elbo = replace(builders.detector("vae"), scoring=ElboScoring(True, 1.0))

    assert Scorer(detector(), CPU).n_memory == 7
    assert Scorer(elbo, CPU).n_memory == 0


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"

    assert choose_device("auto").type == expected
    assert Scorer(detector(), choose_device("auto")).device_type == expected


@pytest.mark.parametrize("name", ["", "gpu", "cpu:x", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"device '{name}'"):
        choose_device(name)


def test_windows_over_the_threshold_have_their_latent_vectors() -> None:
    scorer = Scorer(detector("vae"), CPU, has_latents=True)
    x_BTF = windows(40)

    scores = of_one_unit(scorer, x_BTF)

    over_B = scores.score_B >= 1.0
    assert 0 < over_B.sum() < len(over_B)
    exact_BL = Encoder(detector("vae")).latents(x_BTF).mean_BL
    np.testing.assert_allclose(scores.latent_BL[over_B], exact_BL[over_B], rtol=1e-3)
    assert not scores.latent_BL[~over_B].any()
