"""Every knob of training. Built in `__main__`; nothing else reads the environment."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator
from pydantic_settings import SettingsConfigDict

from pipeline.configure import SourcedSettings
from pipeline.detector.manifest_parts import MAX_RECOVERY
from pipeline.settings import parse_trigger
from trainer.corrupt import parse_corrupt
from trainer.stretches import STRETCH_WINDOWS


class TrainerSettings(SourcedSettings):
    """How a detector is fitted. `TRAINER_EPOCHS=20` sets `epochs`; options override it."""

    model_config = SettingsConfigDict(
        env_prefix="TRAINER_",
        frozen=True,
        extra="ignore",
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )

    max_readings: int | None = None
    """Most readings to learn from, no fewer than 16 windows hold; of a longer history,
    stretches from all over it. Empty: by rule, as many as take less than 2 GiB, 0.9 million
    of 8 sensors and fewer of more, down to 100,000."""

    test_share: float = Field(default=0.0, ge=0, lt=1)
    """Share of each unit's readings, its end, that is left out to be measured on: nothing
    is learned from it. What `trainer tune` left out is left out again by this."""

    window: int = Field(default=32, ge=2, le=4096)
    """T, readings in a window."""

    stride: int = Field(default=1, ge=1)
    """Readings from one training window to the next."""

    hidden: int | None = Field(default=None, ge=1, le=8192)
    """Width of the hidden layers. Empty: by rule, a quarter of a window's values."""

    latent: int | None = Field(default=None, ge=1, le=4096)
    """Size of the latent vector. Empty: by rule, a sixteenth of a window's values."""

    epochs: int = Field(default=30, ge=1)
    """Most passes over the training windows. More learn a short history by heart."""

    steps: int = Field(default=800, ge=1)
    """Most mini-batches in the training of each family, however long the history is."""

    folds: int = Field(default=4, ge=1, le=16)
    """Networks of each family. Each has a stretch of the history held out from it, on which
    scores are calibrated; together they score. 1 holds out the end of the history alone."""

    scaling: Literal["auto", "pooled", "per-unit"] = "auto"
    """One scaler for all units, or one each. `auto`: what foretells readings better."""

    score: Literal["residual", "elbo", "reconstruction-probability"] = "residual"
    """What scores are made of. The last two are of whole windows, by a VAE."""

    max_span: int = Field(default=32, ge=1)
    """Longest time scale of a score: 1, 4, 8 or 32 readings. With 1 each residual counts
    alone, and half as much is kept of each unit."""

    corrupt: str = ""
    """What training does to the windows that it shows, for networks that mend readings:
    `noise:1,sensors:0.25,stretches:0.1`, or some of these. Gaussian noise of up to so many
    standard deviations; shares of the sensors that are missing over a whole window, and
    for a while. Empty: nothing, but `sensors:0.25` with `dae` and `dvae`. What is given
    changes that part alone."""

    batch_windows: int = Field(default=128, ge=1)
    """Windows in a mini-batch."""

    learning_rate: float = Field(default=2e-3, gt=0)
    """Largest step size of Adam."""

    seed: int = Field(default=0, ge=0, lt=2**62)
    """The same seed, history and machine give the same detector."""

    false_alarms_per_day: float = Field(default=1.0, gt=0)
    """False alarms to accept, in incidents per unit and day."""

    trigger: str = "2/3"
    """k/n: k of the last n scores at or above the threshold open an incident."""

    recovery: int = Field(default=15, ge=1, le=MAX_RECOVERY)
    """So many scores in a row below 0.85 of the threshold close it."""

    calibration_fraction: float = Field(default=0.25, gt=0, lt=1)
    """Share of the history, its end, that is held out where `folds` is 1."""

    device: str = "auto"
    """`auto`, `cpu`, `cuda` or `cuda:N`."""

    threads: int = Field(default=1, ge=1)
    """CPU threads of torch. Networks of the usual size gain nothing from a second one, and
    lose much where other processes want the same cores."""

    @field_validator("hidden", "latent", "max_readings", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value == "" else value

    @model_validator(mode="after")
    def _max_readings_hold_a_stretch(self) -> Self:
        least = STRETCH_WINDOWS * self.window
        if self.max_readings is not None and self.max_readings < least:
            raise ValueError(
                f"TRAINER_MAX_READINGS: expected at least {least} with windows of "
                f"{self.window}, got {self.max_readings}"
            )
        return self

    @field_validator("corrupt")
    @classmethod
    def _corrupt_can_be_read(cls, text: str) -> str:
        parse_corrupt(text)
        return text

    @field_validator("trigger")
    @classmethod
    def _trigger_can_be_met(cls, trigger: str) -> str:
        parse_trigger(trigger)
        return trigger
