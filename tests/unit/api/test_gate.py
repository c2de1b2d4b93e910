"""The gate on its own: bodies it holds, waits for or gives up, and how fast a tenant may be."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.types import Receive

from api.auth import KeyRing
from api.gate import MOST_BODIES, Gate, InFlight, Unlimited
from api.places import Places

KEY = "key-of-acme"


def create_keys() -> KeyRing:
    """Make a key ring with a key of each of three tenants."""
    return KeyRing({KEY: "acme", "key-of-other": "other", "key-of-third": "third"})


def otlp_scope(key: str = KEY) -> MutableMapping[str, Any]:
    """Make the scope of an authorised OTLP request."""
    headers = [(b"x-api-key", key.encode())]
    return {
        "type": "http", "method": "POST", "path": "/v1/logs", "query_string": b"", "headers": headers,
        "state": {"request_id": "1"},
    }  # fmt: skip


def body_of(content: bytes) -> Receive:
    """Make a receive channel with this body in one piece."""

    async def receive() -> MutableMapping[str, Any]:
        return {"type": "http.request", "body": content, "more_body": False}

    return receive


async def ignore(*_anything: Any) -> Any:
    """Take whatever comes."""


class Door:
    """A gate before a route that never answers, so that what comes through is held."""

    def __init__(self, limit_bytes: int) -> None:
        self.in_flight = InFlight(limit_bytes)
        self._gate = Gate(self._inner, create_keys(), 1000, Unlimited(), self.in_flight, Places(16, 8))
        self._held: list[asyncio.Task[None]] = []
        self._reached = asyncio.Event()

    async def _inner(self, _scope: Any, _receive: Any, _send: Any) -> None:
        self._reached.set()
        await asyncio.Event().wait()

    async def hold(self, key: str, size_bytes: int) -> None:
        """Send a body that stays."""
        self._reached.clear()
        self._held.append(asyncio.create_task(self._gate(otlp_scope(key), body_of(b"x" * size_bytes), ignore)))
        async with asyncio.timeout(5):
            await self._reached.wait()

    async def refuse(self, key: str, size_bytes: int) -> tuple[int, bytes]:
        """Send a body that is not let in; return the status and when to come again."""
        sent: list[MutableMapping[str, Any]] = []

        async def keep(message: MutableMapping[str, Any]) -> None:
            sent.append(message)

        async with asyncio.timeout(5):
            await self._gate(otlp_scope(key), body_of(b"x" * size_bytes), keep)
        return sent[0]["status"], dict(sent[0]["headers"])[b"retry-after"]

    async def end(self) -> None:
        """End what is held."""
        for task in self._held:
            task.cancel()
        await asyncio.gather(*self._held, return_exceptions=True)


async def test_bodies_in_flight_are_bounded_over_all_clients() -> None:
    """What is held is given back when the request ends, however it ends."""
    door = Door(limit_bytes=100)
    await door.hold(KEY, 40)
    await door.hold("key-of-other", 40)
    assert door.in_flight.held_bytes == 80
    assert await door.refuse("key-of-third", 30) == (503, b"1")
    await door.end()
    assert door.in_flight.held_bytes == 0


async def test_a_tenant_has_half_of_the_bytes_in_flight_and_its_neighbours_the_rest() -> None:
    """Else one tenant's slow bodies made every other's request a 503. What it gives back it may have again."""
    door = Door(limit_bytes=100)
    await door.hold(KEY, 45)
    assert await door.refuse(KEY, 10) == (429, b"1")
    await door.hold("key-of-other", 45)
    await door.end()
    await door.hold(KEY, 50)
    await door.end()
    assert door.in_flight.held_bytes == 0


async def test_a_tenant_has_so_many_bodies_on_their_way_and_its_neighbours_have_theirs() -> None:
    """Each is a connection: slow ones of one tenant would take all there are."""
    in_flight = InFlight()
    gate = Gate(ignore, create_keys(), 1000, Unlimited(), in_flight, Places(16, 8))
    never = asyncio.Event()

    async def slow() -> MutableMapping[str, Any]:
        await never.wait()
        return {"type": "http.disconnect"}

    slow_ones = [asyncio.create_task(gate(otlp_scope(), slow, ignore)) for _ in range(MOST_BODIES)]
    await asyncio.sleep(0)
    sent: list[MutableMapping[str, Any]] = []

    async def keep(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await gate(otlp_scope(), body_of(b"x"), keep)
    assert sent[0]["status"] == 429
    sent.clear()
    await gate(otlp_scope("key-of-other"), body_of(b"x"), keep)
    assert sent == []
    never.set()
    await asyncio.gather(*slow_ones)
    await gate(otlp_scope(), body_of(b"x"), keep)
    assert sent == [], "they are gone"


async def test_a_client_that_hangs_up_in_its_body_is_answered_nothing() -> None:
    """And reaches no route."""
    waiting = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop(0)

    async def inner(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("a route was reached")

    in_flight = InFlight()
    await Gate(inner, create_keys(), 1000, Unlimited(), in_flight, Places(16, 8))(otlp_scope(), receive, inner)
    assert in_flight.held_bytes == 0


async def test_a_body_without_a_key_is_not_read() -> None:
    """Nor counted: whoever has no key takes nothing of what bodies may hold, on an open path either."""

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("a body was read")

    for path in ("/livez", "/docs/start.js", "/v1/logs"):
        scope = otlp_scope() | {"path": path, "headers": []}
        await Gate(ignore, create_keys(), 1000, Unlimited(), InFlight(), Places(16, 8))(scope, receive, ignore)


async def test_a_body_that_does_not_come_is_not_waited_for_without_end() -> None:
    """408, which exporters may try again; what had come is given back."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    gate = Gate(ignore, create_keys(), 1000, Unlimited(), InFlight(), Places(16, 8), body_timeout_s=0.01)
    await gate(otlp_scope(), receive, send)
    assert sent[0]["status"] == 408


async def test_a_tenant_that_is_too_fast_is_told_when_to_come_back() -> None:
    """429, before its body is read."""

    class Slow:
        async def wait_s(self, tenant: str) -> float:
            return 2.6 if tenant == "acme" else 0.0

    sent: list[MutableMapping[str, Any]] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await Gate(ignore, create_keys(), 1000, Slow(), InFlight(), Places(16, 8))(otlp_scope(), ignore, send)
    assert sent[0]["status"] == 429
    assert dict(sent[0]["headers"])[b"retry-after"] == b"3"
