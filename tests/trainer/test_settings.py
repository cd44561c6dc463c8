"""What settings of training must hold to."""

import pytest

from pipeline.configure import read_settings
from pipeline.errors import InputError
from trainer.settings import TrainerSettings


def test_a_variable_sets_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_STEPS", "7")
    monkeypatch.setenv("TRAINER_SCORE", "elbo")

    settings = read_settings(TrainerSettings, {})

    assert (settings.steps, settings.score) == (7, "elbo")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_readings", 0),
        ("max_readings", 100),
        ("window", 1),
        ("stride", 0),
        ("steps", 0),
        ("epochs", 0),
        ("folds", 0),
        ("folds", 17),
        ("score", "mood"),
        ("seed", -1),
        ("learning_rate", 0),
        ("batch_windows", 0),
        ("false_alarms_per_day", 0),
        ("trigger", "5/3"),
        ("recovery", 0),
        ("calibration_fraction", 0),
        ("calibration_fraction", 1),
        ("threads", 0),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^TRAINER_{name.upper()}: "):
        read_settings(TrainerSettings, {name: value})


def test_readings_for_fewer_than_16_windows_are_refused_with_what_is_enough() -> None:
    given = {"window": 8, "max_readings": 127}

    with pytest.raises(
        InputError, match="expected at least 128 with windows of 8, got 127"
    ):
        read_settings(TrainerSettings, given)
    assert read_settings(TrainerSettings, given | {"max_readings": 128}).window == 8


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize(
    "name",
    [name for name, f in TrainerSettings.model_fields.items() if f.annotation is float],
)
def test_every_number_is_finite(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"^TRAINER_{name.upper()}: .*finite number"):
        read_settings(TrainerSettings, {name: value})


@pytest.mark.parametrize("name", ["patience", "warmup_epochs", "validation_fraction"])
def test_a_setting_that_there_is_none_of_is_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"{name} is no setting"):
        read_settings(TrainerSettings, {name: 1})


@pytest.mark.parametrize("name", ["hidden", "latent", "max_readings"])
def test_what_is_empty_is_set_by_rule(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"TRAINER_{name.upper()}", "")

    assert getattr(read_settings(TrainerSettings, {}), name) is None


def test_every_setting_says_what_it_does() -> None:
    assert all(field.description for field in TrainerSettings.model_fields.values())
