"""How settings become a Kafka client, and when they are refused."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
import trustme
from pydantic import SecretStr

from schemas.errors import SetupError
from schemas.settings import Settings
from sinks.kafka import client_settings

LOGIN = {"kafka_username": "scope", "kafka_password": SecretStr("s3cret")}


def given(**more: object) -> Settings:
    """Make settings with brokers."""
    return Settings(**{"kafka_brokers": "a:9092, b:9092", "_env_file": None} | more)  # type: ignore[arg-type]


def test_plaintext_is_the_default_and_carries_no_login() -> None:
    """Brokers are split, and no SASL argument appears."""
    found = client_settings(given())
    assert found["bootstrap_servers"] == ["a:9092", "b:9092"]
    assert (found["security_protocol"], found["ssl_context"]) == ("PLAINTEXT", None)
    assert not [name for name in found if name.startswith("sasl")]


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"])
def test_sasl_over_tls_verifies_the_broker(mechanism: str) -> None:
    """The context demands a certificate for the broker's name."""
    found = client_settings(given(kafka_security_protocol="SASL_SSL", kafka_sasl_mechanism=mechanism, **LOGIN))
    assert found["sasl_mechanism"] == mechanism
    assert (found["sasl_plain_username"], found["sasl_plain_password"]) == ("scope", "s3cret")
    context = found["ssl_context"]
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_ca_file_replaces_the_systems_authorities(tmp_path: Path) -> None:
    """Only what it certifies is trusted."""
    ca_file = tmp_path / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(ca_file))
    context = client_settings(given(kafka_security_protocol="SSL", kafka_ca_file=ca_file))["ssl_context"]
    assert len(context.get_ca_certs()) == 1


def test_a_login_without_tls_is_possible_by_name_only() -> None:
    """SASL_PLAINTEXT, spelled out, is the operator's choice."""
    assert client_settings(given(kafka_security_protocol="SASL_PLAINTEXT", **LOGIN))["ssl_context"] is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"kafka_brokers": " , "},
        {**LOGIN},
        {"kafka_security_protocol": "SSL", **LOGIN},
        {"kafka_security_protocol": "SASL_SSL"},
        {"kafka_security_protocol": "SASL_SSL", "kafka_username": "scope"},
        {"kafka_security_protocol": "SSL", "kafka_ca_file": Path("/no/such/file.pem")},
        {"kafka_security_protocol": "SSL", "kafka_ca_file": Path(__file__)},
        {"kafka_ca_file": Path(__file__)},
    ],
)
def test_settings_that_make_no_sense_together_are_refused(wrong: dict[str, object]) -> None:
    """Above all a login that would travel in the clear, or not at all; the password is not told."""
    with pytest.raises(SetupError, match="INCIDENTSCOPE_KAFKA") as refusal:
        client_settings(given(**wrong))
    assert "s3cret" not in str(refusal.value)
