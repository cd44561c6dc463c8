"""The same readings and the same detector give the same scores to the last bit."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TypeAlias

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.detector import detector as detector_module
from pipeline.detector.autoencoder import Autoencoder
from pipeline.detector.detector import Detector
from pipeline.detector.elbo import ElboScoring
from pipeline.detector.families import FAMILIES, VARIATIONAL, build_network
from pipeline.detector.network import default_shape
from pipeline.detector.residual import Kind, ResidualScoring, Statistic
from pipeline.detector.scaler import Scaler
from pipeline.detector.scaling import Scaling
from pipeline.detector.steady import is_steady
from pipeline.records import FloatArray, IntArray
from pipeline.score import Scorer
from pipeline.window import SlidingWindows, cut_windows
from tests import builders
from tests.builders import sensor_series

CPU = torch.device("cpu")
N_UNITS = 3
N_WINDOWS = 12
"""Of each unit."""
UNITS = [f"unit-{row}" for row in range(N_UNITS)]
Found: TypeAlias = dict[tuple[int, int], list[FloatArray]]
"""Scores by the unit's row and the number of the window's newest reading."""
ENSEMBLE = "+".join(FAMILIES)
RESIDUAL = [(families, "residual") for families in (*FAMILIES, ENSEMBLE)]
NATS = [(family, way) for family in VARIATIONAL for way in ("elbo", "reconstruction")]
LABELLED = [("ae", "labelled"), (ENSEMBLE, "labelled")]
each_detector = pytest.mark.parametrize(("families", "way"), [*RESIDUAL, *LABELLED, *NATS])
# Wide and narrow, long and short, even and odd; of the first two, layers are narrow enough
# for PyTorch's own product.
SHAPES = [(2, 1), (5, 3), (8, 3), (13, 5), (16, 8), (9, 11), (32, 8), (64, 2), (3, 40)]


@cache
def detector(
    families: str, way: str, length: int, n_sensors: int, has_own_scalers: bool
) -> Detector:
    """Untrained, of the sizes that `trainer fit` gives it."""
    torch.manual_seed(0)
    shape = default_shape(length, n_sensors, n_members=5)
    scale_F = np.linspace(0.7, 1.3, n_sensors, dtype=np.float32)
    typical_F = scale_F / np.float32(10)
    kinds: list[tuple[Kind, int]] = [("burst", 1), ("burst", 8), ("shift", 4)]
    statistics = tuple(
        Statistic(kind, span, scale_F, typical_F, 2.0) for kind, span in kinds
    )
    signatures = (
        builders.signature("offset", 0.1, scale_F, n_kinds=3),
        builders.signature("size", -0.1, scale_F, n_kinds=3),
    )
    scoring = (
        ResidualScoring(
            scale_F / np.float32(2),
            np.full(n_sensors, True),
            statistics,
            signatures if way == "labelled" else (),
        )
        if way in ("residual", "labelled")
        else ElboScoring(has_kl=way == "elbo", limit=3.0)
    )
    scaler = Scaler.fit(waves(500, n_sensors))
    own_UF = scaler.scale_F * np.array([[0.5], [3.0]], np.float32)
    scaling = Scaling(scaler, UNITS[:2], own_UF + scaler.mean_F, own_UF)
    return Detector(
        sensors=tuple(f"s{number}" for number in range(n_sensors)),
        networks=tuple(build_network(f, shape).eval() for f in families.split("+")),
        scaling=scaling if has_own_scalers else Scaling(scaler),
        scoring=scoring,
        threshold=0.7,
    )


def waves(n_readings: int, n_sensors: int, seed: int = 0) -> FloatArray:
    """Up to forty sensors: three waves, each sensor with noise of its own."""
    random = np.random.default_rng(seed)
    noise_NF = 0.1 * random.normal(size=(n_readings, n_sensors))
    common_NF = sensor_series(n_readings, seed)[:, np.arange(n_sensors) % 3]
    return (common_NF + noise_NF).astype(np.float32)


def series(length: int, n_sensors: int, missing_share: float, unit: int) -> FloatArray:
    """One unit's readings; where any are missing, a sensor is silent for a window too."""
    values_NF = waves(length - 1 + N_WINDOWS, n_sensors, unit)
    if missing_share:
        random = np.random.default_rng(unit)
        values_NF[random.random(values_NF.shape) < missing_share] = np.nan
        values_NF[2 : length + 4, -1] = np.nan
    return values_NF


@dataclass
class Stage:
    """Windows and scores of a stream, as a worker makes them."""

    detector: Detector
    series: Sequence[FloatArray]
    silences: tuple[int, ...] = ()
    """Readings before which their unit was silent for long."""

    def __post_init__(self) -> None:
        self.n_seen = [0] * N_UNITS
        self.start()

    def start(self) -> None:
        """A process that remembers nothing."""
        self.scorer = Scorer(self.detector, CPU)
        shape = self.detector.window, len(self.detector.sensors)
        self.live = SlidingWindows(*shape, idle_s=1_000.0)

    def restart(self) -> None:
        """A process that first reads what the next scores depend on once more."""
        self.start()
        n_before = self.detector.window - 1 + self.scorer.n_memory
        begin_U = [max(n - n_before, 0) for n in self.n_seen]
        parts = zip(self.series, begin_U, self.n_seen, strict=True)
        values = [values_NF[begin:end] for values_NF, begin, end in parts]
        rows = np.repeat(np.arange(N_UNITS), [len(part) for part in values])
        numbers = [np.arange(*bounds) for bounds in zip(begin_U, self.n_seen, strict=True)]
        self._scored(rows, np.concatenate(numbers), np.concatenate(values))

    def poll(self, rows: Sequence[int]) -> Found:
        """The next reading of each of these units: its scores by row and number."""
        number, values = [], []
        for row in rows:
            number.append(self.n_seen[row])
            values.append(self.series[row][self.n_seen[row]])
            self.n_seen[row] += 1
        return self._scored(np.array(rows, np.int64), np.array(number), np.array(values))

    def _scored(self, row_N: IntArray, number_N: IntArray, values_NF: FloatArray) -> Found:
        values_NF = values_NF.reshape(len(row_N), len(self.detector.sensors))
        n_silences_N = np.searchsorted(self.silences, number_N, side="right")
        polled = builders.readings(
            [UNITS[row] for row in row_N],
            (1_001.0 * n_silences_N).tolist(),
            values_NF.astype(np.float32),
        )
        found: Found = {}
        for emitted in self.live.extend(polled, row_N, N_UNITS):
            self.scorer.forget(emitted.anew)
            scores = self.scorer.score(emitted.windows, emitted.row_B, UNITS)
            number_B = number_N[emitted.reading_B]
            windows = zip(emitted.row_B.tolist(), number_B.tolist(), strict=True)
            found |= {
                window: [column[b] for column in scores] for b, window in enumerate(windows)
            }
        return found


@st.composite
def streams(draw: st.DrawFn, length: int) -> list[list[int]]:
    """Polls of readings that each belong to one of the units."""
    random = draw(st.randoms(use_true_random=False))
    rows = [row for row in range(N_UNITS) for _ in range(length - 1 + N_WINDOWS)]
    random.shuffle(rows)
    # Polls of one reading to all at once.
    n_cuts = draw(st.sampled_from([0, 1, 3, 10, 30]))
    cuts = sorted(random.randrange(len(rows)) for _ in range(n_cuts))
    return [rows[a:b] for a, b in itertools.pairwise([0, *cuts, len(rows)])]


@cache
def one_at_a_time(
    of: tuple[str, str, int, int, bool], missing_share: float, silences: tuple[int, ...]
) -> Found:
    """Every unit after the other, one reading a poll, of what lies between silences each
    as if it were all there is."""
    whole = [series(*of[2:4], missing_share, unit) for unit in range(N_UNITS)]
    found: Found = {}
    for begin, end in itertools.pairwise([0, *silences, len(whole[0])]):
        stage = Stage(detector(*of), [values_NF[begin:end] for values_NF in whole])
        for row in range(N_UNITS):
            for _ in range(begin, end):
                for (_, number), columns in stage.poll([row]).items():
                    found[row, begin + number] = columns
    return found


@each_detector
@settings(max_examples=5, derandomize=True)
@given(choice=st.data())
def test_scores_are_the_same_to_the_last_bit_however_the_stream_is_cut(
    families: str, way: str, choice: st.DataObject
) -> None:
    length, n_sensors = choice.draw(st.sampled_from(SHAPES))
    of = (families, way, length, n_sensors, choice.draw(st.booleans()))
    missing_share = choice.draw(st.sampled_from([0.0, 0.02, 0.3]))
    polls = choice.draw(streams(length))
    restart_before = choice.draw(st.integers(0, len(polls)))
    silences: tuple[int, ...] = choice.draw(
        st.sampled_from([(), (length + 5,), (5, length + 6, length + 7)])
    )
    expected = one_at_a_time(of, missing_share, silences)
    whole = [series(*of[2:4], missing_share, unit) for unit in range(N_UNITS)]
    stage = Stage(detector(*of), whole, silences)

    found: Found = {}
    for number, rows in enumerate(polls):
        if number == restart_before:
            stage.restart()
        found |= stage.poll(rows)

    assert found.keys() == expected.keys()
    assert silences or len(found) == N_UNITS * N_WINDOWS
    for window, columns in found.items():
        for column, expected_column in zip(columns, expected[window], strict=True):
            np.testing.assert_array_equal(column, expected_column)


def pieces(n_windows: int) -> Iterator[slice]:
    """From single windows to hundreds, anywhere in a batch."""
    for size in (1, 3, 4, 5, 9, 16, 33, 300):
        begin = (37 * size) % (n_windows - size)
        yield slice(begin, begin + size)


@each_detector
@pytest.mark.parametrize(("length", "n_sensors"), [(16, 3), (10, 7)])
@pytest.mark.parametrize("n_threads", [1, 2])
def test_windows_are_measured_the_same_among_few_and_among_many(
    families: str, way: str, length: int, n_sensors: int, n_threads: int
) -> None:
    whole = detector(families, way, length, n_sensors, False)
    windows = cut_windows(waves(600, n_sensors), length)
    torch.set_num_threads(n_threads)
    try:
        expected = whole.measure(windows)
        for piece in pieces(len(windows)):
            taken = replace(windows, start_B=windows.start_B[piece])
            for column, expected_column in zip(whole.measure(taken), expected, strict=True):
                np.testing.assert_array_equal(column, expected_column[piece])
    finally:
        torch.set_num_threads(1)


@each_detector
def test_a_batch_of_several_launches_is_measured_as_one(
    families: str, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = detector(families, way, 8, 3, False)
    windows = cut_windows(waves(200, 3), 8)
    expected = whole.measure(windows)

    for n_values in (1, 2_000, 30_000):
        monkeypatch.setitem(detector_module.MAX_VALUES_PER_LAUNCH, "cpu", n_values)
        for column, expected_column in zip(whole.measure(windows), expected, strict=True):
            np.testing.assert_array_equal(column, expected_column)


@each_detector
def test_a_detector_is_tried_on_the_machine_that_it_scores_on(
    families: str, way: str
) -> None:
    assert is_steady(detector(families, way, 10, 7, True))


def test_one_of_which_scores_depend_on_the_batch_is_found_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def newest(network: Autoencoder, x_BTF: torch.Tensor) -> torch.Tensor:
        return whole_batch(network, x_BTF) * (1.0 + 2e-7 * (len(x_BTF) < 100))

    whole_batch = Autoencoder.newest
    monkeypatch.setattr(Autoencoder, "newest", newest)

    assert not is_steady(detector("ae", "residual", 10, 7, False))
