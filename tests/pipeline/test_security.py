"""Settings of TLS and SASL: which go together, and what each client makes of them."""

import json
from pathlib import Path

import pytest

from pipeline.configure import REVEALED, read_settings, refuse_secrets, secret_values
from pipeline.errors import InputError
from pipeline.processes import settings_of
from pipeline.security import client_options, tls_context
from pipeline.settings import Settings
from pipeline.settings_kafka import KafkaSettings
from tests.secure_kafka import KEY_PASSWORD, Certificates

LOGIN = {"username": "alice", "password": "hunter2"}


def kafka(**settings: object) -> KafkaSettings:
    return KafkaSettings.model_validate(settings)


def refusal(**settings: object) -> str:
    """What is said of settings that must be refused."""
    with pytest.raises(InputError) as raised:
        read_settings(Settings, {"detector": "/d", "kafka": settings})
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_without_settings_nothing_is_asked_of_a_client() -> None:
    assert kafka().protocol == "PLAINTEXT"
    assert client_options(kafka()) == {}


def test_the_protocol_follows_from_what_is_set(pem: Certificates) -> None:
    assert kafka(tls={"ca_file": pem.authority}).protocol == "SSL"
    assert kafka(sasl=LOGIN).protocol == "SASL_SSL"
    assert kafka(security_protocol="SSL").protocol == "SSL"


def test_a_password_is_never_sent_in_the_clear_unless_asked_for() -> None:
    assert kafka(sasl={**LOGIN, "mechanism": "PLAIN"}).protocol == "SASL_SSL"


def test_an_empty_setting_is_not_set() -> None:
    empty = kafka(
        security_protocol="",
        tls={"ca_file": "", "key_password": ""},
        sasl={"mechanism": "", "username": "", "password": ""},
    )

    assert empty == KafkaSettings()


def test_kafka_python_is_told_in_its_own_words(pem: Certificates) -> None:
    tls = {
        "ca_file": pem.authority,
        "certificate_file": pem.client,
        "key_file": pem.client_key,
        "key_password": "k",
    }

    assert client_options(kafka(tls=tls, sasl={**LOGIN, "mechanism": "PLAIN"})) == {
        "security_protocol": "SASL_SSL",
        "ssl_check_hostname": True,
        "ssl_cafile": str(pem.authority),
        "ssl_certfile": str(pem.client),
        "ssl_keyfile": str(pem.client_key),
        "ssl_password": "k",
        "sasl_mechanism": "PLAIN",
        "sasl_plain_username": "alice",
        "sasl_plain_password": "hunter2",
    }


def test_librdkafka_is_told_in_its_own_words(pem: Certificates) -> None:
    tls = {"ca_file": pem.authority, "certificate_file": pem.stranger}

    assert client_options(kafka(client="confluent", tls=tls, sasl=LOGIN)) == {
        "security.protocol": "SASL_SSL",
        "enable.ssl.certificate.verification": True,
        "ssl.endpoint.identification.algorithm": "https",
        "ssl.ca.location": str(pem.authority),
        "ssl.certificate.location": str(pem.stranger),
        "ssl.key.location": str(pem.stranger),
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "alice",
        "sasl.password": "hunter2",
    }


def test_a_password_needs_a_user_name_and_the_other_way_round() -> None:
    assert "PIPELINE_KAFKA__SASL__USERNAME is not set" in refusal(
        sasl={"password": "hunter2"}
    )
    assert "PIPELINE_KAFKA__SASL__PASSWORD is not set" in refusal(
        sasl={"username": "alice"}
    )


@pytest.mark.parametrize("protocol", ["PLAINTEXT", "SSL"])
def test_a_user_name_needs_a_protocol_with_sasl(protocol: str) -> None:
    said = refusal(security_protocol=protocol, sasl=LOGIN)

    assert f"of no use with {protocol}" in said
    assert "set PIPELINE_KAFKA__SECURITY_PROTOCOL to SASL_SSL" in said


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "SASL_SSL"])
def test_a_protocol_with_sasl_needs_a_user_name(protocol: str) -> None:
    assert "needs PIPELINE_KAFKA__SASL__USERNAME" in refusal(security_protocol=protocol)


@pytest.mark.parametrize(
    ("protocol", "wanted"), [("PLAINTEXT", "SSL"), ("SASL_PLAINTEXT", "SASL_SSL")]
)
def test_certificates_need_a_protocol_with_tls(
    protocol: str, wanted: str, pem: Certificates
) -> None:
    login = LOGIN if protocol.startswith("SASL") else {}
    tls = {"ca_file": pem.authority}

    said = refusal(security_protocol=protocol, tls=tls, sasl=login)

    assert said.endswith(f"set PIPELINE_KAFKA__SECURITY_PROTOCOL to {wanted}")


def test_a_key_needs_a_certificate(pem: Certificates) -> None:
    needs = "without PIPELINE_KAFKA__TLS__CERTIFICATE_FILE"

    assert needs in refusal(tls={"key_file": pem.client_key})
    assert needs in refusal(tls={"key_password": "hunter2"})


@pytest.mark.parametrize("name", ["ca_file", "certificate_file", "key_file"])
def test_a_file_that_is_not_there_is_named(name: str, tmp_path: Path) -> None:
    missing = tmp_path / "missing.pem"

    said = refusal(tls={name: missing})

    assert said == f"PIPELINE_KAFKA__TLS__{name.upper()}: {missing}: no such file"


def test_files_that_belong_together_are_taken(pem: Certificates) -> None:
    tls_context(
        kafka(
            tls={
                "ca_file": pem.authority,
                "certificate_file": pem.client,
                "key_file": pem.client_key,
                "key_password": KEY_PASSWORD,
            }
        ).tls
    )
    tls_context(kafka(tls={"certificate_file": pem.stranger}).tls)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"key_password": None}, "its password is missing"),
        ({"key_password": "hunter2"}, "its password is not right"),
        ({"key_file": "stranger.pem"}, "key values mismatch"),
        ({"key_file": "authority.pem"}, "expected a certificate and its private key"),
        ({"certificate_file": "text"}, "expected a certificate and its private key"),
        ({"ca_file": "text"}, "CA_FILE .* expected certificates in PEM"),
    ],
)
def test_files_that_do_not_are_one_line_without_the_password(
    wrong: dict[str, str], said: str, pem: Certificates
) -> None:
    (pem.folder / "text").write_text("not PEM")
    files = {k: v if k == "key_password" else pem.folder / v for k, v in wrong.items()}
    good = {"certificate_file": pem.client, "key_file": pem.client_key}
    tls = kafka(tls={**good, "key_password": KEY_PASSWORD, **files}).tls

    with pytest.raises(InputError, match=said) as raised:
        tls_context(tls)
    assert "\n" not in str(raised.value)
    assert KEY_PASSWORD not in str(raised.value)
    assert "hunter2" not in str(raised.value)


def test_secrets_may_be_files_as_kubernetes_mounts_them(tmp_path: Path) -> None:
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "PIPELINE_KAFKA__SASL__PASSWORD").write_text("hunter2\n")
    (tmp_path / "..data").symlink_to("..2026")
    link = tmp_path / "PIPELINE_KAFKA__SASL__PASSWORD"
    link.symlink_to("..data/PIPELINE_KAFKA__SASL__PASSWORD")

    settings = read_settings(
        Settings, {"detector": "/d", "kafka.sasl.username": "alice"}, secrets_dir=tmp_path
    )

    assert secret_values(settings) == ["hunter2"]


@pytest.mark.parametrize("name", ["kafka.sasl.password", "kafka.tls.key_password"])
def test_a_secret_is_refused_on_the_command_line(name: str) -> None:
    with pytest.raises(InputError, match="not on the command line") as raised:
        refuse_secrets(Settings, {name: "hunter2", "kafka.sasl.username": "alice"})
    assert "hunter2" not in str(raised.value)


def test_settings_show_no_secret_however_they_are_written() -> None:
    settings = read_settings(Settings, {"detector": "/d", "kafka": {"sasl": LOGIN}})

    written = [repr(settings), str(settings), settings.model_dump_json()]
    written += [repr(settings.model_dump()), str(settings.model_dump(mode="json"))]

    assert not any("hunter2" in text for text in written)


def test_a_wrong_setting_shows_no_secret() -> None:
    wrong = ({"password": ["hunter2"]}, {**LOGIN, "mechanism": "hunter2"}, "hunter2")

    for sasl in wrong:
        assert "hunter2" not in refusal(sasl=sasl)


def test_processes_of_ours_are_given_the_secrets_themselves() -> None:
    settings = read_settings(Settings, {"detector": "/d", "kafka": {"sasl": LOGIN}})

    own = settings_of(settings, 0)
    order = json.loads(json.dumps(own.model_dump(mode="json", context=REVEALED)))

    assert read_settings(Settings, order) == own
    assert secret_values(read_settings(Settings, order)) == ["hunter2"]
