"""Which addresses an outgoing request may go to."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.addresses import Refused, is_public, safe_address

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "172.32.0.1",
    "100.63.255.255",
    "2001:4860:4860::8888",
    "2606:4700:4700::1111",
    "2002:808:808::1",  # 6to4 of 8.8.8.8
    "64:ff9b::808:808",  # NAT64 of 8.8.8.8
]
NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",  # carrier NAT
    "127.0.0.1",
    "127.255.255.254",
    "169.254.169.254",  # cloud metadata
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.8",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.255",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",  # IPv4-compatible
    "::ffff:127.0.0.1",  # IPv4-mapped
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0:127.0.0.1",  # IPv4-translated
    "64:ff9b::7f00:1",  # NAT64 of 127.0.0.1
    "64:ff9b::a9fe:a9fe",  # NAT64 of the metadata address
    "64:ff9b:1::1",
    "100::1",
    "2001:0:7f00:1::1",  # Teredo
    "2001:db8::1",
    "2002:7f00:1::1",  # 6to4 of 127.0.0.1
    "2002:a9fe:a9fe::1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",  # cloud metadata
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


def resolving_to(*addresses: str) -> object:
    """Give a resolver that always answers this."""

    async def resolve(host: str, port: int) -> list[str]:
        return list(addresses)

    return resolve


async def ask(host: str, *addresses: str, allow_private: bool = False) -> str:
    """Ask the guard about a host that resolves to ``addresses``."""
    return await safe_address(host, 443, allow_private=allow_private, resolve=resolving_to(*addresses))  # type: ignore[arg-type]


@pytest.mark.parametrize("address", PUBLIC)
async def test_public_addresses_are_let_through(address: str) -> None:
    """Written out or behind a name."""
    assert await ask(address) == address
    assert await ask("hooks.example.com", address) == address


@pytest.mark.parametrize("address", NOT_PUBLIC)
async def test_addresses_inside_are_refused(address: str) -> None:
    """Written out, in brackets or behind a name; alone or beside a public one."""
    for host, answers in [
        (address, []),
        (f"[{address}]", []),
        ("hooks.example.com", [address]),
        ("hooks.example.com", ["8.8.8.8", address]),
    ]:
        with pytest.raises(Refused):
            await ask(host, *answers)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.1.2.3", "::1"])
async def test_addresses_inside_are_let_through_when_asked_for(address: str) -> None:
    """The setting opens the guard."""
    assert await ask(address, allow_private=True) == address
    assert await ask("inside", address, allow_private=True) == address


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0X7F.1",
        "127.1",
        "017700000001",
        "0177.0.0.1",
        "127.0.0.1.",
        "8.8.2056",
        "0x",
        "1.2.3.4.5",
    ],
)
@pytest.mark.parametrize("allow_private", [False, True])
async def test_numbers_in_disguise_are_refused(host: str, allow_private: bool) -> None:
    """What some resolvers read as an address and we do not is no host, even when it would be a public one."""
    with pytest.raises(Refused):
        await ask(host, "8.8.8.8", allow_private=allow_private)


async def test_an_answer_that_is_no_address_is_refused() -> None:
    """A resolver that says nonsense does not get us to connect."""
    with pytest.raises(Refused):
        await ask("hooks.example.com", "localhost")


async def test_no_answer_is_for_later() -> None:
    """A name without an address may get one."""
    with pytest.raises(OSError, match="no address"):
        await ask("hooks.example.com")


@pytest.mark.parametrize("name", ["localhost", "localhost.localdomain"])
async def test_the_system_resolver_is_guarded_too(name: str) -> None:
    """The name of this machine does not get through. (A machine that does not know it says: no such host.)"""
    with pytest.raises((Refused, OSError)):
        await safe_address(name, 80, allow_private=False)


async def test_a_name_that_cannot_be_one_is_refused() -> None:
    """Labels over 63 characters never resolve."""
    with pytest.raises(Refused):
        await safe_address("a" * 70 + ".example.com", 80, allow_private=False)


@given(st.ip_addresses(v=4))
def test_wrapping_an_address_never_makes_it_public(address: object) -> None:
    """IPv4-mapped, IPv4-compatible, 6to4 and NAT64 forms of what is not public are not public."""
    number = int(ip_address(str(address)))
    wrapped = [
        ip_address(0xFFFF << 32 | number),
        ip_address("::1") if number == 0 else ip_address(f"::{number >> 16:x}:{number & 0xFFFF:x}"),
        ip_address(0x2002 << 112 | number << 80 | 1),
        ip_address(0x64FF9B << 96 | number),
    ]
    if not is_public(ip_address(str(address))):
        assert not any(is_public(one) for one in wrapped)
