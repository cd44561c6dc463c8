from dataclasses import replace

import numpy as np
import pytest
import torch

from tests import builders
from tests.trainer.training import QUICK, each_model, no_one_listens
from trainer.distributed import ALONE
from trainer.fit_families import fit_families
from trainer.history import History
from trainer.prepare import Prepared, prepare
from trainer.settings import TrainerSettings
from trainer.train import FAMILIES_OF, scored
from trainer.tuning.criterion import HeldOutJudge, Stretch, by_faults, by_labels
from trainer.tuning.objective import Judged, choose_judged

CPU = torch.device("cpu")
SERIES = builders.sensor_series(1_200)
HISTORY = builders.history(SERIES, [700, 500])


def fitted(
    history: History = HISTORY, model: str = "ae", settings: TrainerSettings = QUICK
) -> tuple[HeldOutJudge, Prepared, np.ndarray]:
    """A judge, what its networks were fitted on, and the scores that calibrate."""
    prepared = prepare(history, settings)
    families = FAMILIES_OF.get(model, (model,))
    networks, _ = fit_families(
        families, prepared.folds, settings, CPU, no_one_listens, ALONE
    )
    scoring, scores, _ = scored(networks, prepared, settings, CPU)
    return HeldOutJudge(networks, scoring, prepared, CPU), prepared, scores.score_B


def judged(history: History = HISTORY, **settings: object) -> Judged:
    # With the window set it is the only one, as in the trained networks.
    set_ = TrainerSettings.model_validate({"window": 8, "device": "cpu", **settings})
    return choose_judged(history, set_, None)


@each_model
@pytest.mark.parametrize("scaling", ["pooled", "per-unit"])
def test_rows_are_scored_as_calibration_scores_them(model: str, scaling: str) -> None:
    settings = QUICK.model_copy(update={"scaling": scaling})
    judge, prepared, score_B = fitted(model=model, settings=settings)
    held = [fold.held_out for fold in prepared.folds.folds]
    row_B = np.concatenate([h.windows.start_B + h.windows.length - 1 for h in held])
    unit_B = np.concatenate([h.unit_B for h in held])
    series_B = prepared.folds.series_B

    for series in np.unique(series_B):
        of_series = np.flatnonzero(series_B == series)
        rows = slice(int(row_B[of_series[0]]), int(row_B[of_series[-1]]) + 1)
        values_MF = prepared.history.values_NF[rows.start - 7 : rows.stop]
        (found,) = judge.scores([Stretch(int(unit_B[of_series[0]]), rows, values_MF)])

        np.testing.assert_allclose(found, score_B[of_series], rtol=1e-3, atol=1e-5)


def test_scores_of_a_stretch_do_not_depend_on_those_asked_for_with_it() -> None:
    judge, _, _ = fitted()
    stretches = [
        Stretch(0, slice(a, a + 40), HISTORY.values_NF[a - 7 : a + 40]) for a in (60, 300)
    ]

    together = judge.scores(stretches)

    for stretch, found in zip(stretches, together, strict=True):
        np.testing.assert_allclose(found, judge.scores([stretch])[0], rtol=1e-4)


@each_model
def test_the_criterion_is_a_share_and_the_mean_of_its_parts(model: str) -> None:
    judge, _, _ = fitted(model=model)
    probes = judged().probes
    assert probes is not None

    criterion = by_faults(judge, probes)

    assert 0.0 < criterion.value <= 1.0
    assert criterion.value == pytest.approx(np.mean(list(criterion.parts.values())))


def test_larger_faults_are_found_better() -> None:
    judge, _, _ = fitted()
    probes = judged().probes
    assert probes is not None
    larger = replace(
        probes, probes=tuple(p._replace(size=10 * p.size) for p in probes.probes)
    )

    assert by_faults(judge, larger).value > by_faults(judge, probes).value + 0.1


def test_with_labels_the_scores_of_labelled_rows_count() -> None:
    rows = [*range(100, 110), *range(900, 910)]
    values_NF = SERIES.copy()
    values_NF[rows] *= 5.0
    history = builders.history(values_NF, [700, 500], labelled=rows)
    judge, _, _ = fitted(history)
    on = judged(history)

    criterion = by_labels(judge, on.runs)

    assert on.by == "labels"
    assert criterion.value > 0.8
    assert set(criterion.parts) == {"unit-0", "unit-1"}


def test_labels_of_ordinary_rows_are_ranked_no_better_than_by_chance() -> None:
    rows = [*range(100, 130), *range(900, 930)]
    history = builders.history(SERIES, [700, 500], labelled=rows)
    judge, _, _ = fitted(history)

    assert by_labels(judge, judged(history).runs).value < 0.3


def test_a_fault_of_a_sensor_that_was_left_out_is_missed() -> None:
    judge, _, _ = fitted(replace(HISTORY, sensors=("x", "y", "z")))
    probes = judged().probes
    assert probes is not None

    criterion = by_faults(judge, probes)

    assert criterion.value < by_faults(fitted()[0], probes).value - 0.2


def test_missing_values_are_judged_too() -> None:
    values_NF = SERIES.copy()
    values_NF[50:1_100:7, 1] = np.nan
    history = builders.history(values_NF, [700, 500])
    judge, _, _ = fitted(history)
    probes = judged(history).probes
    assert probes is not None

    assert 0.0 < by_faults(judge, probes).value <= 1.0
