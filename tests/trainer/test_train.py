"""From history to a detector on disk."""

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from pipeline.detector.artifact import load
from pipeline.detector.files import GOLDEN
from pipeline.detector.scaler import Scaler
from pipeline.errors import InputError
from tests import builders
from tests.builders import sensor_series
from tests.trainer.training import QUICK, each_scoring, held_out_levels, quick
from trainer.train import ENSEMBLE, FAMILIES_OF, train


@each_scoring
def test_what_was_trained_is_what_is_loaded(model: str, score: str, tmp_path: Path) -> None:
    history = builders.history(sensor_series(400), [250, 150])
    outcome = quick(tmp_path / "pumps", history, model=model, score=score)

    loaded = load(tmp_path / "pumps")

    manifest = loaded.manifest
    assert loaded.digest == outcome.loaded.digest
    assert manifest.name == "pumps"
    families = FAMILIES_OF.get(model, (model,))
    assert [(part.family, part.members) for part in manifest.networks] == [
        (family, 4) for family in families
    ]
    assert set(manifest.training.losses) == set(families)
    assert (manifest.training.n_rows, manifest.training.n_units) == (400, 2)
    assert manifest.training.n_windows == outcome.folds.n_windows()
    assert manifest.training.n_steps == QUICK.steps
    assert manifest.incident.trigger == (2, 3)


@pytest.mark.parametrize("model", [ENSEMBLE, "ae", "dae", "conv", "gru"])
def test_what_has_no_elbo_is_refused_before_anything_is_trained(
    model: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="choose --model vae or dvae") as raised:
        quick(tmp_path / "pumps", model=model, score="elbo")

    assert "\n" not in str(raised.value)
    assert list(tmp_path.iterdir()) == []


def test_the_same_seed_and_history_give_the_same_detector(tmp_path: Path) -> None:
    first = quick(tmp_path / "a" / "pumps", model=ENSEMBLE)
    again = quick(tmp_path / "b" / "pumps", model=ENSEMBLE)
    other = quick(tmp_path / "c" / "pumps", model=ENSEMBLE, seed=1)

    assert first.loaded.digest == again.loaded.digest
    assert first.loaded.digest != other.loaded.digest


def test_a_seed_sets_the_weights_that_training_begins_with(tmp_path: Path) -> None:
    first, other = (
        quick(tmp_path / str(seed), steps=1, learning_rate=1e-12, seed=seed)
        for seed in (0, 1)
    )

    weights = [
        outcome.loaded.detector.networks[0].state_dict()["encoder.first.weight"]
        for outcome in (first, other)
    ]
    assert (weights[0] - weights[1]).abs().mean() > 0.01


def test_sizes_and_rule_follow_the_settings(tmp_path: Path) -> None:
    outcome = quick(
        tmp_path / "pumps", hidden=20, latent=3, folds=2, trigger="2/4", recovery=6
    )

    manifest = outcome.loaded.manifest
    [part] = manifest.networks
    assert (part.window, part.hidden, part.latent, part.members) == (8, 20, 3, 2)
    assert (manifest.incident.trigger, manifest.incident.recovery) == ((2, 4), 6)


def test_with_one_fold_the_end_is_held_out_alone(tmp_path: Path) -> None:
    outcome = quick(tmp_path / "pumps", folds=1, calibration_fraction=0.5)

    [fold] = outcome.folds.folds
    assert fold.held_out.windows.start_B.tolist() == list(range(200, 393))
    assert outcome.loaded.manifest.networks[0].members == 1


def test_labelled_readings_have_no_part_in_what_is_learned(tmp_path: Path) -> None:
    labelled = range(150, 170)
    values_NF = sensor_series(400)
    faulty_NF = values_NF.copy()
    faulty_NF[labelled] = 1e6

    clean, faulty = (
        quick(tmp_path / str(n), builders.history(v_NF, labelled=labelled))
        for n, v_NF in enumerate((values_NF, faulty_NF))
    )

    of_clean, of_faulty = clean.loaded.manifest, faulty.loaded.manifest
    assert of_clean.training.data_digest != of_faulty.training.data_digest
    assert of_clean.scaler == of_faulty.scaler
    assert of_clean.score == of_faulty.score
    assert of_clean.threshold == of_faulty.threshold
    assert of_clean.weights.sha256 == of_faulty.weights.sha256


def test_the_scaler_is_fitted_on_all_rows_that_are_used(tmp_path: Path) -> None:
    history = builders.history(sensor_series(400), labelled=range(100, 120))

    outcome = quick(tmp_path / "pumps", history)

    expected = Scaler.fit(history.values_NF[outcome.folds.used_N])
    found = outcome.loaded.detector.scaling.pooled
    np.testing.assert_allclose(found.mean_F, expected.mean_F, rtol=1e-6)
    np.testing.assert_allclose(found.scale_F, expected.scale_F, rtol=1e-6)


def test_false_alarms_are_counted_per_day_that_each_unit_was_watched(
    tmp_path: Path,
) -> None:
    history = builders.history(sensor_series(1_200), [600, 600])
    history.time_s_N[:600] /= 6.0  # every 10 s, not every minute

    outcome = quick(tmp_path / "pumps", history)

    # In each of four folds, a unit's 150 readings have 143 windows, 142 steps apart.
    assert outcome.calibration.unit_days == pytest.approx(4 * 142 * (10 + 60) / 86_400)


def test_the_golden_readings_are_those_around_the_highest_held_out_score(
    tmp_path: Path,
) -> None:
    values_NF = sensor_series(400)
    values_NF[150] += 9 * values_NF.std(axis=0)
    outcome = quick(tmp_path / "pumps", builders.history(values_NF))

    golden_NF = load_file(tmp_path / "pumps" / GOLDEN)["readings"]

    level_B, _ = held_out_levels(outcome)
    starts = [fold.held_out.windows.start_B for fold in outcome.folds.folds]
    newest = int(np.concatenate(starts)[level_B.argmax()]) + 7
    assert 150 <= newest < 182
    # The fold holds 93 windows; forty in a row are kept.
    [first] = np.flatnonzero((values_NF == golden_NF[0]).all(axis=1))
    assert first <= newest < first + len(golden_NF) == first + 47
    np.testing.assert_array_equal(golden_NF, values_NF[first : first + 47])


def test_progress_goes_from_0_to_1_over_all_families(tmp_path: Path) -> None:
    told: list[float] = []
    train(
        builders.history(sensor_series(400)),
        ENSEMBLE,
        QUICK.model_copy(update={"steps": 40}),
        tmp_path / "pumps",
        lambda done, _: told.append(done),
    )

    assert told == [0.25, 0.5, 0.75, 1.0]


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    def interrupt(done: float, loss: float) -> None:
        raise KeyboardInterrupt

    history = builders.history(sensor_series(400))
    with pytest.raises(KeyboardInterrupt):
        train(history, "ae", QUICK, tmp_path / "pumps", interrupt)

    assert list(tmp_path.iterdir()) == []


def test_a_folder_in_use_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("precious")

    def too_late(done: float, loss: float) -> None:
        raise AssertionError("training began")

    with pytest.raises(InputError, match="choose another --out"):
        train(builders.history(sensor_series(400)), "ae", QUICK, tmp_path, too_late)


def test_a_detector_is_replaced_by_the_next(tmp_path: Path) -> None:
    quick(tmp_path / "pumps")

    second = quick(tmp_path / "pumps", seed=1)

    assert load(tmp_path / "pumps").digest == second.loaded.digest


def test_history_of_100_rows_is_refused_with_the_rows_that_would_do(
    tmp_path: Path,
) -> None:
    history = builders.history(sensor_series(100))

    with pytest.raises(InputError, match=r"needs about 156 rows.*smaller --window"):
        quick(tmp_path / "pumps", history, window=32)
    enough = quick(tmp_path / "enough", builders.history(sensor_series(156)), window=32)
    smaller = quick(tmp_path / "smaller", history, window=8)

    for outcome in (enough, smaller):
        assert np.isfinite(outcome.loaded.detector.threshold)
