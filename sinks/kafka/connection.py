"""How we reach the brokers: client settings from `Settings`, and what a client's errors mean to us."""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka.errors import (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    KafkaConnectionError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)

from schemas.errors import SetupError, StoreError, StoreRejected, StoreUnavailable
from schemas.settings import Settings
from sinks.kafka.record_sets import read_in_place
from sinks.kafka.unpacking import bound_batches

bound_batches()  # whoever connects reads this module first
read_in_place()

_NEVER = (
    AuthenticationFailedError,
    ClusterAuthorizationFailedError,
    InvalidTopicError,
    SaslAuthenticationFailed,
    TopicAuthorizationFailedError,
)


def ssl_context(settings: Settings) -> ssl.SSLContext | None:
    """Return the TLS context of the chosen protocol: the system's authorities, or only ``kafka_ca_file``.

    Raises `SetupError` when the CA file cannot be read.
    """
    if settings.kafka_security_protocol not in ("SSL", "SASL_SSL"):
        return None
    ca_file = settings.kafka_ca_file
    try:
        return ssl.create_default_context(cafile=str(ca_file) if ca_file else None)
    except (OSError, ssl.SSLError) as error:
        raise SetupError(
            f"the Kafka CA file {ca_file} cannot be used: {error}",
            "point INCIDENTSCOPE_KAFKA_CA_FILE at a PEM file with the broker's certificate authority",
        ) from error


def client_settings(settings: Settings) -> dict[str, Any]:
    """Return the keyword arguments that every aiokafka client needs to reach the brokers.

    Raises `SetupError` when the settings do not make sense together; above all, credentials are never sent
    over a connection without TLS unless ``SASL_PLAINTEXT`` is asked for by name (aiokafka would fall back
    to plain text silently).
    """
    _check_security(settings)
    found: dict[str, Any] = {
        "bootstrap_servers": [broker.strip() for broker in settings.kafka_brokers.split(",") if broker.strip()],
        "client_id": settings.consumer_group,
        "security_protocol": settings.kafka_security_protocol,
        "ssl_context": ssl_context(settings),
    }
    if settings.kafka_security_protocol.startswith("SASL"):
        found |= {
            "sasl_mechanism": settings.kafka_sasl_mechanism,
            "sasl_plain_username": settings.kafka_username,
            "sasl_plain_password": settings.kafka_password.get_secret_value(),
        }
    return found


def _check_security(settings: Settings) -> None:
    protocol = settings.kafka_security_protocol
    if not settings.kafka_brokers.strip(" ,"):
        raise SetupError("no Kafka broker is set", "set INCIDENTSCOPE_KAFKA_BROKERS=host:port[,host:port]")
    if protocol.startswith("SASL") and not (settings.kafka_username and settings.kafka_password.get_secret_value()):
        raise SetupError(
            f"{protocol} needs a user and a password",
            "set INCIDENTSCOPE_KAFKA_USERNAME and INCIDENTSCOPE_KAFKA_PASSWORD",
        )
    if settings.kafka_username and not protocol.startswith("SASL"):
        raise SetupError(
            f"a Kafka user is set, but protocol {protocol} would not log in with it",
            "set INCIDENTSCOPE_KAFKA_SECURITY_PROTOCOL=SASL_SSL"
            " (SASL_PLAINTEXT, by name, sends the login without encryption)",
        )
    if settings.kafka_ca_file and protocol not in ("SSL", "SASL_SSL"):
        raise SetupError(
            f"a Kafka CA file is set, but protocol {protocol} does not use TLS",
            "set INCIDENTSCOPE_KAFKA_SECURITY_PROTOCOL to SSL or SASL_SSL, or unset INCIDENTSCOPE_KAFKA_CA_FILE",
        )


def store_error(error: Exception, doing: str) -> StoreError:
    """Translate an error of the client: `StoreRejected` for what never heals by itself, else `StoreUnavailable`."""
    if isinstance(error, KafkaConnectionError):
        # The client keeps the reason of a refused handshake to itself and its log.
        return StoreUnavailable(f"Kafka, {doing}: no broker lets us in ({error}); {_HANDSHAKE_HINT}")
    kind = StoreRejected if isinstance(error, _NEVER) else StoreUnavailable
    return kind(f"Kafka, {doing}: {type(error).__name__}: {error}")


_HANDSHAKE_HINT = "if it runs, the protocol, the CA file or the login is wrong, and the log of aiokafka says which"
