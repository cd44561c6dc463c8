"""What a manifest says of networks and scores is checked, part by part."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pipeline.detector.artifact import MANIFEST, load
from pipeline.detector.elbo import ElboScoring
from pipeline.errors import DetectorError
from tests.builders import residual_scoring, saved_detector
from tests.pipeline.detector.test_tampering import rewrite

Fields = dict[str, Any]
Change = Callable[[Fields], None]


@pytest.fixture
def residual(tmp_path: Path) -> Path:
    """A detector of two families, scored by three statistics."""
    scoring = residual_scoring(("burst", 1), ("shift", 4), ("burst", 8))
    saved_detector(tmp_path / "residual", "ae+vae", scoring=scoring)
    return tmp_path / "residual"


@pytest.fixture
def elbo(tmp_path: Path) -> Path:
    saved_detector(tmp_path / "elbo", "vae", scoring=ElboScoring(has_kl=True, limit=9.0))
    return tmp_path / "elbo"


def refusal(folder: Path) -> str:
    """Why the detector is not loaded: one line."""
    with pytest.raises(DetectorError) as error:
        load(folder)
    assert "\n" not in str(error.value)
    return str(error.value)


def of_statistic(**changes: object) -> Change:
    return lambda fields: fields["score"]["statistics"][1].update(changes)


def of_score(**changes: object) -> Change:
    return lambda fields: fields["score"].update(changes)


def of_network(**changes: object) -> Change:
    return lambda fields: fields["networks"][1].update(changes)


def no_networks(fields: Fields) -> None:
    fields["networks"] = []


def too_many_networks(fields: Fields) -> None:
    fields["networks"] = fields["networks"][:1] * 17


def too_many_statistics(fields: Fields) -> None:
    fields["score"]["statistics"] = fields["score"]["statistics"][:1] * 33


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (no_networks, "networks"),
        (too_many_networks, "networks"),
        (of_network(window=9), "networks must all have the same window"),
        (of_network(members=0), "members"),
        (of_network(members=1_001), "members"),
        (of_network(hidden=0), "hidden"),
        (of_network(latent=-1), "latent"),
        (of_network(window=0), "window"),
        (of_network(kernel=3), "kernel"),
        (of_score(by="oracle"), "oracle"),
        (of_score(by="elbo"), "score"),
        (of_score(trust=[1.0] * 2), "3 values of trust and scored"),
        (of_score(trust=[1.0, 1.0, 1.5]), "trust"),
        (of_score(trust=[1.0, 1.0, -0.1]), "trust"),
        (of_score(scored=[True] * 4), "3 values of trust and scored"),
        (of_score(scored=[True, True, 1]), "scored"),
        (of_score(scored=[False] * 3), "a sensor that is scored"),
        (of_score(scored=[True, True, False]), "statistics must be of the 2 sensors"),
        (of_score(statistics=[]), "statistics"),
        (too_many_statistics, "statistics"),
        (of_statistic(kind="drift"), "drift"),
        (of_statistic(span=0), "span"),
        (of_statistic(span=3), "span 3 is not a power of two"),
        (of_statistic(span=8192), "span"),
        (of_statistic(scale=[1.0] * 2), "statistics must be of the 3 sensors"),
        (of_statistic(scale=[1.0, 0.0, 1.0]), "scale"),
        (of_statistic(scale=[1.0, 1e-300, 1.0]), "scale"),
        (of_statistic(typical=[0.5] * 4), "statistics must be of the 3 sensors"),
        (of_statistic(typical=[0.5, -0.5, 0.5]), "typical"),
        (of_statistic(limit=0.0), "limit"),
        (of_statistic(limit=1e-300), "limit"),
        (of_statistic(limit=1e300), "limit"),
    ],
)
def test_a_manifest_whose_parts_cannot_be_is_refused(
    change: Change, message: str, residual: Path
) -> None:
    fields = json.loads((residual / MANIFEST).read_text())
    change(fields)
    (residual / MANIFEST).write_text(json.dumps(fields))

    reason = refusal(residual)

    assert "not a detector's manifest" in reason
    assert message in reason


@pytest.mark.parametrize("limit", [0.0, -1.0, 1e-300, 1e300, None])
def test_an_elbo_has_a_limit_to_divide_by(limit: float | None, elbo: Path) -> None:
    fields = json.loads((elbo / MANIFEST).read_text())
    fields["score"]["limit"] = limit
    (elbo / MANIFEST).write_text(json.dumps(fields))

    assert "not a detector's manifest" in refusal(elbo)


@pytest.mark.parametrize("part", ["trust", "scored", "statistics", "by"])
def test_scores_by_residuals_that_lack_a_part_are_refused(
    part: str, residual: Path
) -> None:
    fields = json.loads((residual / MANIFEST).read_text())
    del fields["score"][part]
    (residual / MANIFEST).write_text(json.dumps(fields))

    assert part in refusal(residual)


def in_another_order(fields: Fields) -> None:
    fields["networks"].reverse()


def scored_by_an_elbo(fields: Fields) -> None:
    fields["score"] = {"by": "elbo", "has_kl": True, "limit": 1.0}


def one_family_less(fields: Fields) -> None:
    del fields["networks"][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_network(family="oracle"), "expected a model family of .* got 'oracle'"),
        (of_network(family="ae"), "the weights do not fit"),
        (of_network(members=3), "the weights do not fit"),
        (of_network(latent=5), "the weights do not fit"),
        (in_another_order, "the weights do not fit"),
        (one_family_less, "the weights do not fit"),
        (of_score(trust=[1.0, 0.5, 1.0]), "not the detector that was trained"),
        (of_statistic(scale=[1.0, 0.1, 1.0]), "not the detector that was trained"),
        (of_statistic(limit=0.01), "not the detector that was trained"),
        (of_statistic(span=2), "not the detector that was trained"),
        (scored_by_an_elbo, "'ae' is not scored by an ELBO"),
    ],
)
def test_a_change_is_refused_even_if_its_digests_were_made_good(
    change: Change, message: str, residual: Path
) -> None:
    rewrite(residual, change)

    with pytest.raises(DetectorError, match=message):
        load(residual)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (of_score(has_kl=False), "not the detector that was trained"),
        (of_score(limit=9.1), "not the detector that was trained"),
    ],
)
def test_a_change_of_an_elbo_is_refused_even_if_its_digests_were_made_good(
    change: Change, message: str, elbo: Path
) -> None:
    rewrite(elbo, change)

    with pytest.raises(DetectorError, match=message):
        load(elbo)
