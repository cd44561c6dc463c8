"""Every knob of training. Built in `__main__`; nothing else reads the environment."""

from typing import Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pipeline.configure import SourcedSettings
from pipeline.settings import parse_trigger


class TrainerSettings(SourcedSettings):
    """How a detector is fitted. `TRAINER_EPOCHS=20` sets `epochs`; options override it."""

    model_config = SettingsConfigDict(
        env_prefix="TRAINER_",
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    window: int = Field(default=32, ge=2, le=4096)
    """T, readings in a window."""

    stride: int = Field(default=1, ge=1)
    """Readings from one training window to the next."""

    hidden: int | None = Field(default=None, ge=1, le=8192)
    """Width of the hidden layers. Empty: by rule, a quarter of a window's values."""

    latent: int | None = Field(default=None, ge=1, le=4096)
    """Size of the latent vector. Empty: by rule, a sixteenth of a window's values."""

    epochs: int = Field(default=100, ge=1)
    """Most passes over the training windows."""

    patience: int = Field(default=10, ge=1)
    """Epochs without a better validation loss until training stops."""

    warmup_epochs: int = Field(default=10, ge=0)
    """Epochs over which the KL term of a VAE grows to its full weight."""

    batch_windows: int = Field(default=128, ge=1)
    """Windows in a mini-batch."""

    epoch_windows: int = Field(default=200_000, ge=1)
    """Most windows in an epoch; of a longer history each epoch draws another sample."""

    learning_rate: float = Field(default=1e-3, gt=0)
    """Step size of Adam."""

    seed: int = Field(default=0, ge=0)
    """The same seed, history and machine give the same detector."""

    false_alarms_per_day: float = Field(default=1.0, gt=0)
    """False alarms to accept, in incidents per unit and day."""

    trigger: str = "2/3"
    """k/n: k of the last n scores at or above the threshold open an incident."""

    recovery: int = Field(default=10, ge=1)
    """So many scores in a row below the threshold close it."""

    validation_fraction: float = Field(default=0.15, gt=0, lt=1)
    """Share of the history that decides when training stops."""

    calibration_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Share of the history, its end, that the threshold is set on."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""

    threads: int = Field(default=1, ge=1)
    """CPU threads of torch. Networks of the usual size gain nothing from a second one, and
    lose much where other processes want the same cores."""

    @field_validator("hidden", "latent", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @field_validator("trigger")
    @classmethod
    def _trigger_can_be_met(cls, trigger: str) -> str:
        parse_trigger(trigger)
        return trigger

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        held_out = self.validation_fraction + self.calibration_fraction
        if held_out >= 1.0:
            raise ValueError(
                "TRAINER_VALIDATION_FRACTION and TRAINER_CALIBRATION_FRACTION add up to "
                f"{held_out:g}; below 1 something is left to train on"
            )
        return self
