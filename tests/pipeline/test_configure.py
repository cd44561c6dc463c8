"""Reading settings: where from, which source wins, and what is said when one is wrong."""

from pathlib import Path

import pytest

from pipeline.configure import (
    documented,
    parse_assignments,
    read_settings,
    unknown_variables,
)
from pipeline.errors import InputError
from pipeline.settings import Settings
from trainer.settings import TrainerSettings

GROUP = "PIPELINE_KAFKA__GROUP_ID"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, _, _ in [*documented(Settings), *documented(TrainerSettings)]:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("PIPELINE_DETECTOR", "/detectors/pumps")


def refusal(overrides: dict[str, object] | None = None) -> str:
    """What is said of settings that must be refused."""
    with pytest.raises(InputError) as raised:
        read_settings(Settings, overrides or {})
    return str(raised.value)


def test_what_is_not_set_has_its_default() -> None:
    settings = read_settings(Settings, {})

    assert settings.kafka.readings_topic == "readings"
    assert settings.http.port == 9100


@pytest.mark.parametrize("n_sources", [1, 2, 3, 4])
def test_the_command_line_wins_then_environment_then_env_file_then_secrets(
    n_sources: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the weakest `n_sources` of the four given, the strongest of them wins."""
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / GROUP).write_text("from-secrets\n")
    env_file = tmp_path / "env"
    env_file.write_text(f"{GROUP}=from-env-file\n" if n_sources >= 2 else "")
    if n_sources >= 3:
        monkeypatch.setenv(GROUP, "from-environment")
    overrides = {"kafka.group_id": "from-command-line"} if n_sources >= 4 else {}

    settings = read_settings(Settings, overrides, env_file, tmp_path / "secrets")

    assert (
        settings.kafka.group_id
        == [
            "from-secrets",
            "from-env-file",
            "from-environment",
            "from-command-line",
        ][n_sources - 1]
    )


def test_settings_of_one_part_may_come_from_all_sources(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIPELINE_KAFKA__READINGS_TOPIC").write_text("secret-topic")
    monkeypatch.setenv("PIPELINE_KAFKA__ALERTS_TOPIC", "env-topic")

    settings = read_settings(Settings, {"kafka.group_id": "g"}, secrets_dir=tmp_path)

    assert settings.kafka.readings_topic == "secret-topic"
    assert settings.kafka.alerts_topic == "env-topic"
    assert settings.kafka.group_id == "g"
    assert settings.kafka.dead_letters_topic == "readings.dead"


def test_other_programs_lines_and_secrets_are_left_alone(tmp_path: Path) -> None:
    env_file = tmp_path / "env"
    env_file.write_text("DATABASE_URL=x\nPIPELINE_DEVICE=cpu\n")
    (tmp_path / "database_password").write_text("x")

    settings = read_settings(Settings, {}, env_file, tmp_path)

    assert settings.device == "cpu"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PIPELINE_HTTP__PORT", "99999"),
        ("PIPELINE_HTTP__PORT", "web"),
        ("PIPELINE_POLL__MAX_RECORDS", "0"),
        ("PIPELINE_KAFKA__GROUP_ID", ""),
        ("PIPELINE_KAFKA__CLIENT", "carrier-pigeon"),
        ("PIPELINE_INCIDENT__TRIGGER", "5/3"),
        ("PIPELINE_INCIDENT__TRIGGER", "often"),
        ("PIPELINE_INCIDENT__RECOVERY", "0"),
        ("PIPELINE_REJECTS__MAX_FRACTION", "2"),
        ("PIPELINE_MAX_UNITS", "-1"),
        ("PIPELINE_KAFKA__GRUOP_ID", "pumps"),
    ],
)
def test_a_wrong_setting_is_one_line_that_names_it(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    message = refusal()

    assert variable in message
    assert "\n" not in message


def test_a_missing_setting_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PIPELINE_DETECTOR")

    assert refusal() == "PIPELINE_DETECTOR is not set"


def test_a_wrong_setting_of_the_command_line_is_named() -> None:
    assert "PIPELINE_HTTP__PORT" in refusal({"http.port": "web"})
    assert "kfaka.group_id" in refusal({"kfaka.group_id": "pumps"})
    assert "PIPELINE_KAFKA__GRUOP_ID is no setting" in refusal({"kafka.gruop_id": "x"})


@pytest.mark.parametrize(
    "overrides",
    [
        {"kafka": "pumps"},
        {"kafka": "pumps", "kafka.group_id": "pumps"},
        {"kafka.group_id": "pumps", "kafka": "pumps"},
        {"device.name": "cpu"},
        {"http.port.number": "1"},
    ],
)
def test_a_name_that_is_too_short_or_too_long_is_refused(
    overrides: dict[str, object],
) -> None:
    assert refusal(overrides)


def test_a_refused_value_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_HTTP__PORT", "hunter2")

    assert "hunter2" not in refusal()


@pytest.mark.parametrize("content", [b"\xffhunter2", b"PIPELINE_DEVICE=\xff\xfehunter2"])
def test_what_is_no_text_is_one_line_that_does_not_repeat_it(
    content: bytes, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(content)

    with pytest.raises(InputError, match="cannot be read: not text in UTF-8") as of_folder:
        read_settings(Settings, {}, secrets_dir=tmp_path)
    with pytest.raises(InputError, match="cannot be read: not text in UTF-8") as of_file:
        read_settings(Settings, {}, env_file=tmp_path / "file")
    assert "hunter2" not in f"{of_folder.value} {of_file.value}"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PIPELINE_KAFKA", '{"sasl": {"password": "hunter2"'),
        ("PIPELINE_KAFKA__SASL", '{"password": "hunter2"}'),
        ("PIPELINE_KAFKA__SASL", "hunter2"),
        ("PIPELINE_KAFKA__SASL__PASSWORD", '{"password": "hunter2"}'),
        ("PIPELINE_KAFKA__SASL__PASSWORD__X", "hunter2"),
        ("PIPELINE_KAFKA__SASL__PASSWORD", "hunter2"),
        ("PIPELINE_KAFKA__SASL__PASWORD", "hunter2"),
        ("PIPELINE_KAFKA__SASL__MECHANISM", "hunter2"),
        ("PIPELINE_KAFKA__TLS__KEY_PASSWORD", "hunter2"),
    ],
)
def test_a_secret_given_wrongly_is_one_line_without_it(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    message = refusal()

    assert "hunter2" not in message
    assert "\n" not in message


def test_all_wrong_settings_are_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIPELINE_HTTP__PORT", "web")
    monkeypatch.setenv("PIPELINE_MAX_UNITS", "many")

    message = refusal()

    assert "PIPELINE_HTTP__PORT" in message
    assert "PIPELINE_MAX_UNITS" in message


def test_a_file_or_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"--env-file .*nowhere: no such file"):
        read_settings(Settings, {}, env_file=tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"--secrets-dir .*nowhere: no such folder"):
        read_settings(Settings, {}, secrets_dir=tmp_path / "nowhere")


def test_assignments_of_the_command_line_are_by_dotted_name() -> None:
    parsed = parse_assignments(["kafka.group_id=a=b", "DEVICE=cpu"])

    assert parsed == {"kafka.group_id": "a=b", "device": "cpu"}


@pytest.mark.parametrize("assignment", ["kafka.group_identity", "=hunter2", ""])
def test_an_assignment_without_a_name_or_value_is_refused_and_not_repeated(
    assignment: str,
) -> None:
    with pytest.raises(InputError, match="expected NAME=VALUE") as raised:
        parse_assignments([assignment])
    assert assignment == "" or assignment not in str(raised.value)


def test_a_variable_that_sets_nothing_is_told_of_with_what_was_meant() -> None:
    environ = {"PIPELINE_KAFKA__GRUOP_ID": "x", "PIPELINE_DEVICE": "cpu", "HOME": "/"}

    assert unknown_variables(Settings, environ) == [
        "PIPELINE_KAFKA__GRUOP_ID is no setting; did you mean PIPELINE_KAFKA__GROUP_ID?"
    ]


@pytest.mark.parametrize("settings_type", [Settings, TrainerSettings])
def test_every_setting_says_what_it_means(
    settings_type: type[Settings] | type[TrainerSettings],
) -> None:
    for variable, _, meaning in documented(settings_type):
        assert meaning.endswith((".", ")")), variable


def test_settings_are_documented_by_variable_with_their_defaults() -> None:
    defaults = {variable: default for variable, default, _ in documented(Settings)}

    assert defaults["PIPELINE_DETECTOR"] == "required"
    assert defaults["PIPELINE_KAFKA__READINGS_TOPIC"] == "readings"
    assert defaults["PIPELINE_INCIDENT__TRIGGER"] == ""
