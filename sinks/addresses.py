"""Which addresses an outgoing request may go to: public ones only (a guard against server-side request forgery).

Judged are resolved addresses, never names. An address that wraps an IPv4 one (IPv4-mapped, 6to4, Teredo, NAT64)
is judged as itself and as what it wraps. Sources: IANA special-purpose address registries (RFC 6890), the
WHATWG URL standard, section "host parsing" for what counts as a number.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address

Resolver = Callable[[str, int], Awaitable[list[str]]]
"""Gives the addresses of a host name, as text. Raises `OSError` when it cannot."""

_NAT64 = IPv6Network("64:ff9b::/96")
_IPV4_COMPATIBLE = IPv6Network("::/96")
_ALSO_SPECIAL = [ip_network(text) for text in ("192.0.0.0/24", "192.88.99.0/24", "3fff::/20", "fec0::/10")]
"""Global to `ipaddress` of some Python releases: protocol assignments, 6to4 relays, documentation, site-local."""
_NUMBER = re.compile(r"(0x[0-9a-f]*|[0-9]+)", re.IGNORECASE)


class Refused(Exception):
    """The target is not one that we may talk to."""


async def resolve_host(host: str, port: int) -> list[str]:
    """Ask the system's resolver."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except UnicodeError as error:
        raise Refused(f"{host} cannot be a host name") from error
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


async def safe_address(host: str, port: int, *, allow_private: bool, resolve: Resolver = resolve_host) -> str:
    """Resolve ``host`` once and return the address to connect to.

    Raises `Refused` when any of its addresses is not public (unless ``allow_private``) or when the host is a
    number in disguise (``2130706433``, ``0x7f.1``), and `OSError` when it does not resolve.
    """
    plain = host.strip("[]")
    literal = _literal(plain)
    if literal is None and _NUMBER.fullmatch(plain.rstrip(".").rpartition(".")[2]):
        raise Refused(f"{host} is a number, and neither a name nor an address in its usual form")
    texts = [plain] if literal else await resolve(host, port)
    if not texts:
        raise OSError(f"{host} has no address")
    if not allow_private:
        for text in texts:
            _demand_public(host, text)
    return texts[0]


def _literal(text: str) -> Address | None:
    try:
        return ip_address(text)
    except ValueError:
        return None


def _demand_public(host: str, text: str) -> None:
    address = _literal(text)
    if address is None or not is_public(address):
        raise Refused(f"{host} leads to {text}, which is not a public address")


def is_public(address: Address) -> bool:
    """Tell whether the address, and every address wrapped in it, is globally reachable unicast."""
    return all(_is_public(one) for one in (address, *_wrapped(address)))


def _is_public(address: Address) -> bool:
    if address in _NAT64:
        return True  # the translator's prefix: what counts is the address inside
    if any(address in network for network in _ALSO_SPECIAL):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def _wrapped(address: Address) -> Iterator[IPv4Address]:
    if isinstance(address, IPv4Address):
        return
    if address.ipv4_mapped:
        yield address.ipv4_mapped
    if address.sixtofour:
        yield address.sixtofour
    if address.teredo:
        yield from address.teredo
    if address in _IPV4_COMPATIBLE or address in _NAT64:
        yield IPv4Address(int(address) & 0xFFFF_FFFF)
