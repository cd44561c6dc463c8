"""One poll's windows to scores, in as few launches as memory allows."""

import numpy as np
import pytest
import torch

from pipeline import score
from pipeline.errors import InputError
from pipeline.records import Scores
from pipeline.score import Scorer, choose_device
from pipeline.window import Windows, cut_windows
from tests.builders import SENSORS, detector, sensor_series

CPU = torch.device("cpu")


def assert_close(scores: Scores, expected: Scores) -> None:
    for column, expected_column in zip(scores, expected, strict=True):
        np.testing.assert_allclose(column, expected_column, rtol=1e-4, atol=1e-5)


def windows() -> Windows:
    return cut_windows(sensor_series(50), length=8)


def test_a_scorer_says_of_windows_what_its_detector_says() -> None:
    scores = Scorer(detector(), CPU).score(windows())

    assert_close(scores, detector().score(windows().gather(slice(None))))


@pytest.mark.parametrize("max_windows", [1, 7, 43])
def test_more_windows_than_memory_allows_are_scored_in_several_launches(
    max_windows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = Scorer(detector(), CPU).score(windows())
    monkeypatch.setattr(score, "MAX_VALUES_PER_LAUNCH", max_windows * 8 * len(SENSORS))

    assert_close(Scorer(detector(), CPU).score(windows()), at_once)


def test_no_windows_have_no_scores() -> None:
    scores = Scorer(detector(), CPU).score(cut_windows(sensor_series(5), length=8))

    assert [column.shape for column in scores] == [(0,), *[(0, len(SENSORS))] * 3]


def test_auto_takes_a_gpu_where_there_is_one() -> None:
    expected = "cuda" if torch.cuda.is_available() else "cpu"

    assert choose_device("auto").type == expected
    assert Scorer(detector(), choose_device("auto")).device_type == expected


@pytest.mark.parametrize("name", ["", "gpu", "cpu:x", "meta", "cuda:99"])
def test_a_device_that_is_not_there_is_named(name: str) -> None:
    with pytest.raises(InputError, match=f"device '{name}'"):
        choose_device(name)
