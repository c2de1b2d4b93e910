"""Places for requests: a tenant's flood waits for its own, and the others come their turn."""

from __future__ import annotations

import asyncio
from collections.abc import MutableMapping
from typing import Any

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from api.gate import Gate, InFlight, Unlimited
from api.otlp.answers import PROTOBUF
from api.otlp.receiving import OF_TENANT, Body, Receiver
from api.otlp.signals import TRACES_SIGNAL
from api.places import Places
from api.problems import Problem
from sinks.kafka.producer import Ack, Message
from tests.unit.api.test_gate import KEY, body_of, create_keys


class Visitor:
    """A request that stays until it is told to go."""

    def __init__(self, places: Places, tenant: str) -> None:
        self.inside = asyncio.Event()
        self.go = asyncio.Event()
        self.task = asyncio.create_task(self._visit(places, tenant))

    async def _visit(self, places: Places, tenant: str) -> None:
        async with places.hold(tenant):
            self.inside.set()
            await self.go.wait()


async def settled() -> None:
    """Let everybody come as far as they can."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_a_flood_of_one_tenant_has_its_own_places_and_no_others() -> None:
    """Two in all: it has one of them, and of ten that wait none takes the other."""
    places = Places(2, 1)
    flood = [Visitor(places, "flood") for _ in range(10)]
    other = Visitor(places, "other")
    await settled()
    assert [one.inside.is_set() for one in flood] == [True] + [False] * 9
    assert other.inside.is_set()
    for one in (*flood, other):
        one.go.set()
    await asyncio.gather(*(one.task for one in (*flood, other)))
    assert places._own == {}, "nothing is kept of who is gone"


async def test_tenants_come_in_turn_when_all_places_are_taken() -> None:
    """Two floods have all: the third waits for one request of theirs, not for all that they have waiting."""
    places = Places(2, 1)
    floods = [Visitor(places, name) for name in ("a", "b", "a", "b", "a", "b")]
    await settled()
    third = Visitor(places, "c")
    await settled()
    assert not third.inside.is_set()
    floods[0].go.set()
    await settled()
    assert third.inside.is_set()
    for one in (*floods, third):
        one.go.set()
    await asyncio.gather(*(one.task for one in (*floods, third)))


@pytest.mark.parametrize(("tenant", "status"), [("a", 429), ("b", 503)])
async def test_patience_ends_with_the_tenants_own_fault_or_with_ours(tenant: str, status: int) -> None:
    """Both say when to come again."""
    places = Places(1, 1, patience_s=0.01)
    held = Visitor(places, "a")
    await settled()
    with pytest.raises(Problem) as refused:
        async with places.hold(tenant):
            pass
    assert (refused.value.slug.status, refused.value.headers["Retry-After"]) == (status, "1")
    held.go.set()
    await held.task


async def test_so_many_wait_and_no_more() -> None:
    """What waits costs memory, too: the next is told at once."""
    places = Places(2, 1, waiting=2)
    waiting = [Visitor(places, "a") for _ in range(3)]
    await settled()
    with pytest.raises(Problem) as refused:
        async with places.hold("a"):
            pass
    assert refused.value.slug.status == 429
    for one in waiting:
        one.go.set()
    await asyncio.gather(*(one.task for one in waiting))


async def test_an_answer_that_nobody_takes_holds_its_tenants_place_alone() -> None:
    """It is made: the place of all is free as soon as it begins; the tenant's until the last of it is taken."""
    places, taken = Places(1, 1, patience_s=0.01), asyncio.Event()
    sent: list[MutableMapping[str, Any]] = []

    async def route(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"large"})

    async def slow_client(message: MutableMapping[str, Any]) -> None:
        if sent and sent[-1].get("body"):  # as uvicorn: what is behind waits until what was before is taken
            await taken.wait()
        sent.append(message)

    async def quick_client(message: MutableMapping[str, Any]) -> None:
        answers.append(message)

    def scope(key: str) -> MutableMapping[str, Any]:
        return {
            "type": "http", "method": "GET", "path": "/api/v1/services", "query_string": b"",
            "headers": [(b"x-api-key", key.encode())], "state": {"request_id": "1"},
        }  # fmt: skip

    gate = Gate(route, create_keys(), 1000, Unlimited(), InFlight(), places)
    slow = asyncio.create_task(gate(scope(KEY), body_of(b""), slow_client))
    await settled()
    for key, status in ((KEY, 429), ("key-of-other", 200)):
        answers: list[MutableMapping[str, Any]] = []
        await gate(scope(key), body_of(b""), quick_client)
        assert answers[0]["status"] == status
    taken.set()
    await slow
    assert b"".join(message.get("body", b"") for message in sent) == b"large"


class StuckSender:
    """Confirms nothing of one tenant."""

    async def send_many(self, messages: list[Message]) -> list[Ack]:
        """Wait for ever, or confirm."""
        if any(value == b"flood" for message in messages for _, value in message.headers or ()):
            await asyncio.Event().wait()
        return []


async def test_a_flood_of_telemetry_leaves_a_place_for_the_other_tenants() -> None:
    """It had all four, and everybody else was answered 503."""
    receiver, sender = Receiver(), StuckSender()
    request = ExportTraceServiceRequest()
    request.resource_spans.add().scope_spans.add().spans.add(trace_id=b"t" * 16, span_id=b"s" * 8, name="GET /")
    body = Body(request.SerializeToString(), PROTOBUF.encode(), b"")
    flood = [asyncio.create_task(receiver.receive(body, "flood", TRACES_SIGNAL, sender)) for _ in range(2 * OF_TENANT)]
    await settled()
    async with asyncio.timeout(5):
        answer = await receiver.receive(body, "other", TRACES_SIGNAL, sender)
    assert answer.status_code == 200
    for one in flood:
        one.cancel()
    await asyncio.gather(*flood, return_exceptions=True)
