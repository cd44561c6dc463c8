"""What is searched: the settings that matter, their ranges, each one's command line."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.detector.families import FAMILIES, VARIATIONAL
from pipeline.detector.network import default_shape
from trainer.settings import TrainerSettings
from trainer.train import ENSEMBLE

FAMILY, WINDOW, LATENT, RATE = "family", "window", "latent", "learning_rate"
SEARCHED = (FAMILY, WINDOW, LATENT, RATE)
WINDOWS = (8, 128)
LATENT_FACTORS = (0.25, 4.0)
"""Of the latent size by rule, which grows with window and sensors."""
RATES = (2e-4, 2e-2)
MAX_LATENT = 4096
N_DIGITS = 3
"""Of a learning rate: a command line is to be read."""


@dataclass(frozen=True, slots=True)
class Choice:
    """Settings of one trial: what is searched, as `trainer fit` takes it."""

    family: str
    window: int
    latent: int
    learning_rate: float

    def applied(self, settings: TrainerSettings) -> TrainerSettings:
        """These settings with the choice in them."""
        values = {WINDOW: self.window, LATENT: self.latent, RATE: self.learning_rate}
        return settings.model_copy(update=values)

    def text_by_name(self) -> dict[str, str]:
        """As people read it."""
        rate = f"{self.learning_rate:g}"
        values = (self.family, str(self.window), str(self.latent), rate)
        return dict(zip(SEARCHED, values, strict=True))


@dataclass(frozen=True, slots=True)
class Space:
    """The ranges of a search. A range of one value is not searched."""

    families: tuple[str, ...]
    windows: tuple[int, int]
    latent_factors: tuple[float, float] | None
    """None: `latent` is what the settings have, or by rule."""
    rates: tuple[float, float]
    default: Choice
    """What `trainer fit` does without the search."""
    n_sensors: int

    @property
    def searched(self) -> tuple[str, ...]:
        """Names of what has more than one value."""
        is_searched = (
            len(self.families) > 1,
            self.windows[0] < self.windows[1],
            self.latent_factors is not None,
            self.rates[0] < self.rates[1],
        )
        return tuple(n for n, is_one in zip(SEARCHED, is_searched, strict=True) if is_one)

    def choice(self, parameters: Mapping[str, object]) -> Choice:
        """What a trial's parameters stand for; those that it lacks are the default's.

        Args:
            parameters: `family`, `window`, `latent` as a factor, `learning_rate`.
        """
        window = int(str(parameters.get(WINDOW, self.default.window)))
        latent = self.default.latent
        if LATENT in parameters:
            latent = latent_of(window, self.n_sensors, float(str(parameters[LATENT])))
        elif WINDOW in parameters and self.default_latent_is_by_rule:
            latent = latent_of(window, self.n_sensors, 1.0)
        rate = float(str(parameters.get(RATE, self.default.learning_rate)))
        return Choice(
            family=str(parameters.get(FAMILY, self.default.family)),
            window=window,
            latent=latent,
            learning_rate=rate if rate == self.default.learning_rate else rounded(rate),
        )

    @property
    def default_latent_is_by_rule(self) -> bool:
        """Whether the default's latent size is what the rule gives for its window."""
        return self.default.latent == latent_of(self.default.window, self.n_sensors, 1.0)

    def default_parameters(self) -> dict[str, object]:
        """The default as a trial's parameters."""
        whole: dict[str, object] = {
            FAMILY: self.default.family,
            WINDOW: self.default.window,
            LATENT: 1.0,
            RATE: self.default.learning_rate,
        }
        return {name: whole[name] for name in self.searched}


def latent_of(window: int, n_sensors: int, factor: float) -> int:
    """A multiple of the latent size by rule, at least 1, fewer than the window's values."""
    by_rule = default_shape(window, n_sensors).latent
    most = max(min(window * n_sensors - 1, MAX_LATENT), 1)
    return min(max(round(factor * by_rule), 1), most)


def rounded(rate: float) -> float:
    """To three digits that count."""
    return float(f"{rate:.{N_DIGITS - 1}e}")


def space_of(
    settings: TrainerSettings, family: str | None, largest_window: int, n_sensors: int
) -> Space:
    """The search's ranges. What was set by the user is not searched.

    Args:
        settings: of the user.
        family: `--model`; None if not given.
        largest_window: that the history has enough readings for.
        n_sensors: that the networks see.
    """
    given = settings.model_fields_set
    window, rate = settings.window, settings.learning_rate
    families = [ENSEMBLE, *FAMILIES] if settings.score == "residual" else [*VARIATIONAL]
    by_default = ENSEMBLE if settings.score == "residual" else "vae"
    least = min(WINDOWS[0], window)
    has_latent = settings.latent is not None
    return Space(
        families=tuple(families) if family is None else (family,),
        windows=(window, window) if WINDOW in given else (least, largest_window),
        latent_factors=None if has_latent else LATENT_FACTORS,
        rates=(rate, rate) if RATE in given else (min(RATES[0], rate), max(RATES[1], rate)),
        default=Choice(
            family=family or by_default,
            window=window,
            latent=settings.latent or latent_of(window, n_sensors, 1.0),
            learning_rate=rate,
        ),
        n_sensors=n_sensors,
    )


def fit_command(
    history: str, out: str, choice: Choice, seed: int, others: Mapping[str, object]
) -> str:
    """The command line that fits a detector with these settings.

    Args:
        history: the file's name as the user gave it.
        out: the detector's folder.
        choice: what was found.
        seed: of the training.
        others: further settings that differ from the defaults, by name.
    """
    words = ["trainer", "fit", history, "--out", out, "--model", choice.family]
    words += ["--window", str(choice.window), "--latent", str(choice.latent)]
    words += ["--seed", str(seed)]
    given = {RATE: repr(choice.learning_rate), **others}
    for name, value in given.items():
        words += ["--set", f"{name}={value}"]
    return shlex.join(words)
