"""Name the other side of a client, producer or consumer span from its attributes.

Attribute names: OpenTelemetry semantic conventions (database, messaging, server, HTTP), stable and older ones.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from streams.otlp.columns import PeerKind

_DB_SYSTEM = ("db.system.name", "db.system")
_DB_NAME = ("db.namespace", "db.name")
_DESTINATION = ("messaging.destination.name", "messaging.destination")
_ADDRESS = ("server.address", "net.peer.name", "network.peer.address", "net.peer.ip")
_PORT = ("server.port", "net.peer.port", "network.peer.port")
_URL = ("url.full", "http.url")
_DEFAULT_PORTS = ("", "0", "80", "443")

PEER_KEYS = frozenset(
    key.encode()
    for key in (*_DB_SYSTEM, *_DB_NAME, *_DESTINATION, *_ADDRESS, *_PORT, *_URL, "messaging.system", "peer.service")
)
"""The attributes `peer_of` reads, as they are on the wire."""


def peer_of(attributes: dict[str, str]) -> tuple[PeerKind, str]:
    """Return the peer's kind and node name (``postgresql:shop``, ``kafka:orders``, ``payments:8080``), or NONE."""
    if not attributes:
        return PeerKind.NONE, ""
    system = _first(attributes, _DB_SYSTEM)
    if system:
        place = _first(attributes, _DB_NAME) or attributes.get("peer.service", "") or _address(attributes)
        return PeerKind.DATABASE, f"{system}:{place}" if place else system
    system = attributes.get("messaging.system", "")
    if system:
        destination = _first(attributes, _DESTINATION)
        return PeerKind.MESSAGING, f"{system}:{destination}" if destination else system
    name = attributes.get("peer.service", "") or _address(attributes)
    return (PeerKind.EXTERNAL, name) if name else (PeerKind.NONE, "")


def _first(attributes: dict[str, str], keys: tuple[str, ...]) -> str:
    return next((attributes[key] for key in keys if attributes.get(key)), "")


def _address(attributes: dict[str, str]) -> str:
    host, port = _first(attributes, _ADDRESS), _first(attributes, _PORT)
    if not host:
        return host_of(_first(attributes, _URL))
    return host if port in _DEFAULT_PORTS else f"{host}:{port}"


def host_of(url: str) -> str:
    """Return host[:port] of a URL without its user and password; empty if it is no URL."""
    if not url:
        return ""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", str(parts.port or "")
    except ValueError:
        return ""
    return host if port in _DEFAULT_PORTS else f"{host}:{port}"
