"""Signatures: windows that resemble labelled events score higher, or lower."""

from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detector import manifest
from pipeline.detector.artifact import load
from pipeline.detector.residual import ResidualScoring
from pipeline.detector.signature import HIGHEST, LOWEST, Feature, Signature, factor_of
from pipeline.errors import DetectorError
from pipeline.records import FloatArray
from tests import builders

each_feature = pytest.mark.parametrize("feature", ["offset", "size"])
ONES_F = np.ones(3, dtype=np.float32)


def pointing_at(sensor: int, feature: Feature = "offset", weight: float = 0.1) -> Signature:
    """Resembles whatever has that sensor high."""
    return Signature(
        feature,
        span=4,
        scale_F=ONES_F,
        center_F=np.zeros(3, dtype=np.float32),
        direction_KF=np.eye(3, dtype=np.float32)[[sensor]],
        usual=0.0,
        spread=0.5,
        weight=weight,
    )


def scores(scoring: ResidualScoring, residual_NF: FloatArray) -> FloatArray:
    """Of one unit's residuals."""
    index_N = np.arange(len(residual_NF))
    return scoring.surprise(residual_NF, index_N, index_N).score_B


def shifted(sensor: int, by: float = 2.0) -> FloatArray:
    residual_NF = np.full((12, 3), 0.1, dtype=np.float32)
    residual_NF[:, sensor] = by
    return residual_NF


@each_feature
def test_what_resembles_a_labelled_event_scores_higher(feature: Feature) -> None:
    plain = builders.residual_scoring()
    informed = replace(plain, signatures=(pointing_at(0, feature),))

    like, unlike = shifted(0), shifted(1)
    assert (scores(informed, like)[3:] > 1.2 * scores(plain, like)[3:]).all()
    np.testing.assert_allclose(scores(informed, unlike), scores(plain, unlike), rtol=0.1)


def test_what_resembles_a_silenced_event_scores_lower() -> None:
    plain = builders.residual_scoring()
    informed = replace(plain, signatures=(pointing_at(0, weight=-0.1),))

    assert (scores(informed, shifted(0))[3:] < 0.8 * scores(plain, shifted(0))[3:]).all()


def test_an_offset_the_other_way_is_not_alike() -> None:
    plain = builders.residual_scoring()
    informed = replace(plain, signatures=(pointing_at(0),))

    down = shifted(0, by=-2.0)
    assert (scores(informed, down)[3:] < scores(plain, down)[3:]).all()


def test_a_unit_without_enough_readings_scores_as_without_labels() -> None:
    plain = builders.residual_scoring()
    informed = replace(plain, signatures=(pointing_at(0),))

    assert (scores(informed, shifted(0))[:3] == scores(plain, shifted(0))[:3]).all()


def test_what_a_signature_looks_back_on_is_remembered() -> None:
    scoring = replace(builders.residual_scoring(), signatures=(pointing_at(0),))

    assert scoring.n_memory == 3


@given(st.floats(LOWEST, HIGHEST), st.floats(-1.0, 1.0))
def test_no_factor_turns_a_score_round_or_makes_it_infinite(
    z: float, weight: float
) -> None:
    [factor] = factor_of(np.array([z], dtype=np.float32), weight).tolist()

    assert 0.0 < factor < 1e4


def test_a_detector_keeps_its_signatures_to_the_bit(tmp_path: Path) -> None:
    signature = builders.signature("size", 0.07, ONES_F, n_kinds=2)
    scoring = replace(builders.residual_scoring(), signatures=(signature,))

    saved = builders.saved_detector(tmp_path / "pumps", scoring=scoring)
    again = load(tmp_path / "pumps").detector

    series_NF = builders.sensor_series(60)
    np.testing.assert_array_equal(
        again.score_series(series_NF).score_B,
        saved.detector.score_series(series_NF).score_B,
    )
    assert isinstance(again.scoring, ResidualScoring)
    [read] = again.scoring.signatures
    np.testing.assert_array_equal(read.direction_KF, signature.direction_KF)
    assert (read.feature, read.weight) == ("size", 0.07)


def test_a_manifest_without_labels_says_nothing_of_signatures(tmp_path: Path) -> None:
    builders.saved_detector(tmp_path / "pumps")

    assert "signatures" not in (tmp_path / "pumps" / "manifest.json").read_text()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"scale": [1.0]}, "signatures must be of the 3 sensors scored"),
        ({"directions": [[1.0]]}, "signatures must be of the 3 sensors scored"),
        ({"span": 3}, "span 3 is not a power of two"),
        ({"weight": 2.0}, "<= 1"),
        ({"spread": 0.0}, ">= 1.17"),
        ({"directions": []}, "length >= 1"),
        ({"feature": "smell"}, "smell"),
    ],
)
def test_a_manifest_with_a_signature_that_is_none_is_refused(
    changed: dict[str, object], said: str
) -> None:
    part = {
        "by": "residual",
        "trust": [1.0] * 3,
        "scored": [True] * 3,
        "statistics": [],
        "signatures": [],
    }
    signature = {
        "feature": "offset",
        "span": 4,
        "scale": [1.0] * 3,
        "center": [0.0] * 3,
        "directions": [[1.0] * 3],
        "usual": 0.0,
        "spread": 1.0,
        "weight": 0.1,
    }
    statistic = {
        "kind": "burst",
        "span": 1,
        "scale": [1.0] * 3,
        "typical": [0.0] * 3,
        "limit": 1.0,
    }
    whole = msgspec.to_builtins(builders.manifest(builders.detector()))
    whole["score"] = {
        **part,
        "statistics": [statistic],
        "signatures": [{**signature, **changed}],
    }
    with pytest.raises(DetectorError, match=said):
        manifest.decode(msgspec.json.encode({"digest": "", **whole}), "here")
