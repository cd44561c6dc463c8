import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.detector.families import FAMILIES, VARIATIONAL
from pipeline.detector.network import default_shape
from trainer.settings import TrainerSettings
from trainer.train import ENSEMBLE
from trainer.tuning.space import SEARCHED, Choice, fit_command, latent_of, space_of


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WINDOW", "LATENT", "LEARNING_RATE", "SCORE"):
        monkeypatch.delenv(f"TRAINER_{name}", raising=False)


def test_the_default_parameters_are_what_fit_does_by_itself() -> None:
    space = space_of(TrainerSettings(), None, 128, n_sensors=5)

    choice = space.choice(space.default_parameters())

    assert choice == space.default
    by_rule = default_shape(32, 5).latent
    assert choice == Choice(ENSEMBLE, 32, by_rule, TrainerSettings().learning_rate)


def test_all_four_are_searched_by_default() -> None:
    space = space_of(TrainerSettings(), None, 128, n_sensors=5)

    assert space.searched == SEARCHED
    assert set(space.families) == {ENSEMBLE, *FAMILIES}


def test_what_is_given_is_not_searched() -> None:
    settings = TrainerSettings(window=16, latent=3, learning_rate=0.01)

    space = space_of(settings, "gru", 16, n_sensors=5)

    assert space.searched == ()
    assert space.choice({}) == Choice("gru", 16, 3, 0.01)


def test_a_window_that_is_searched_takes_its_latent_size_along() -> None:
    settings = TrainerSettings(learning_rate=0.01)
    space = space_of(settings, "ae", 128, n_sensors=5)

    assert space.choice({"window": 64, "latent": 1.0}).latent == default_shape(64, 5).latent


def test_scores_of_whole_windows_are_searched_among_vaes() -> None:
    space = space_of(TrainerSettings(score="elbo"), None, 64, n_sensors=3)

    assert space.families == tuple(VARIATIONAL)
    assert space.default.family == "vae"


@given(
    window=st.integers(2, 4096),
    n_sensors=st.integers(1, 200),
    factor=st.floats(0.25, 4.0),
)
def test_a_latent_size_is_one_that_fit_takes(
    window: int, n_sensors: int, factor: float
) -> None:
    latent = latent_of(window, n_sensors, factor)

    assert 1 <= latent <= 4096
    assert latent < window * n_sensors


def test_the_command_line_can_be_pasted_whatever_the_file_is_called() -> None:
    choice = Choice("dae", 16, 4, 0.00215)

    command = fit_command("my file's.csv", "out", choice, 3, {"steps": 20})

    words = shlex.split(command)
    assert words[:3] == ["trainer", "fit", "my file's.csv"]
    assert words[words.index("--seed") :][:2] == ["--seed", "3"]
    assert {"learning_rate=0.00215", "steps=20"} <= set(words)


@given(rate=st.floats(2e-4, 2e-2))
def test_a_rate_on_the_command_line_is_the_rate_that_was_tried(rate: float) -> None:
    space = space_of(TrainerSettings(), None, 64, n_sensors=3)
    choice = space.choice({"learning_rate": rate})

    words = shlex.split(fit_command("h.csv", "out", choice, 0, {}))

    given_ = next(w for w in words if w.startswith("learning_rate="))
    assert float(given_.partition("=")[2]) == choice.learning_rate
    assert choice.learning_rate == pytest.approx(rate, rel=0.005)
