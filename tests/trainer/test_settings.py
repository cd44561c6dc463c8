"""What settings of training must hold to."""

import pytest

from pipeline.configure import read_settings
from pipeline.errors import InputError
from trainer.settings import TrainerSettings


def test_a_variable_sets_its_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_EPOCHS", "7")

    assert read_settings(TrainerSettings, {}).epochs == 7


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("window", 1),
        ("epochs", 0),
        ("seed", -1),
        ("learning_rate", 0),
        ("false_alarms_per_day", 0),
        ("trigger", "5/3"),
        ("recovery", 0),
        ("validation_fraction", 1),
    ],
)
def test_a_wrong_setting_is_named(name: str, value: object) -> None:
    with pytest.raises(InputError, match=f"^TRAINER_{name.upper()}: "):
        read_settings(TrainerSettings, {name: value})


@pytest.mark.parametrize("value", ["inf", "-inf", "nan"])
@pytest.mark.parametrize(
    "name",
    [name for name, f in TrainerSettings.model_fields.items() if f.annotation is float],
)
def test_every_number_is_finite(name: str, value: str) -> None:
    with pytest.raises(InputError, match=f"^TRAINER_{name.upper()}: .*finite number"):
        read_settings(TrainerSettings, {name: value})


def test_something_must_be_left_to_train_on() -> None:
    with pytest.raises(InputError, match=r"TRAINER_VALIDATION_FRACTION and .* add up to 1"):
        read_settings(
            TrainerSettings, {"validation_fraction": 0.5, "calibration_fraction": 0.5}
        )


def test_an_empty_size_is_set_by_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRAINER_HIDDEN", "")

    assert read_settings(TrainerSettings, {}).hidden is None
