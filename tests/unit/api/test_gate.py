"""The gate on its own: bodies it holds, waits for or gives up, and how fast a tenant may be."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

from starlette.types import Receive

from api.auth import KeyRing
from api.gate import Gate, InFlight, Unlimited

KEY = "key-of-acme"


def create_keys() -> KeyRing:
    """Make a key ring with one key."""
    return KeyRing({KEY: "acme"})


def otlp_scope() -> MutableMapping[str, Any]:
    """Make the scope of an authorised OTLP request."""
    headers = [(b"x-api-key", KEY.encode())]
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


async def test_bodies_in_flight_are_bounded_over_all_clients() -> None:
    """What is held is given back when the request ends, however it ends."""
    in_flight = InFlight(limit_bytes=100)
    reached = asyncio.Event()

    async def inner(_scope: Any, _receive: Any, _send: Any) -> None:
        reached.set()
        await asyncio.Event().wait()

    gate = Gate(inner, create_keys(), 1000, Unlimited(), in_flight)
    first = asyncio.create_task(gate(otlp_scope(), body_of(b"x" * 80), ignore))
    await reached.wait()
    assert in_flight.held_bytes == 80
    sent: list[MutableMapping[str, Any]] = []

    async def keep(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await gate(otlp_scope(), body_of(b"x" * 30), keep)
    assert sent[0]["status"] == 503
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    assert in_flight.held_bytes == 0


async def test_a_client_that_hangs_up_in_its_body_is_answered_nothing() -> None:
    """And reaches no route."""
    waiting = [{"type": "http.request", "body": b"half", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> MutableMapping[str, Any]:
        return waiting.pop(0)

    async def inner(_scope: Any, _receive: Any, _send: Any) -> None:
        raise AssertionError("a route was reached")

    in_flight = InFlight()
    await Gate(inner, create_keys(), 1000, Unlimited(), in_flight)(otlp_scope(), receive, inner)
    assert in_flight.held_bytes == 0


async def test_a_body_without_a_key_is_not_read() -> None:
    """Nor counted: whoever has no key takes nothing of what bodies may hold, on an open path either."""

    async def receive() -> MutableMapping[str, Any]:
        raise AssertionError("a body was read")

    for path in ("/livez", "/docs/start.js", "/v1/logs"):
        scope = otlp_scope() | {"path": path, "headers": []}
        await Gate(ignore, create_keys(), 1000, Unlimited(), InFlight())(scope, receive, ignore)


async def test_a_body_that_does_not_come_is_not_waited_for_without_end() -> None:
    """408, which exporters may try again; what had come is given back."""
    sent: list[MutableMapping[str, Any]] = []

    async def receive() -> MutableMapping[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    gate = Gate(ignore, create_keys(), 1000, Unlimited(), InFlight(), body_timeout_s=0.01)
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

    await Gate(ignore, create_keys(), 1000, Slow(), InFlight())(otlp_scope(), ignore, send)
    assert sent[0]["status"] == 429
    assert dict(sent[0]["headers"])[b"retry-after"] == b"3"
