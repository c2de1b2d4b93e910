"""The latency objective on a running worker: spans in, a burning budget, an incident and an alert out."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from live_worker import PARTITIONS, eventually, quick, running
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_load import MS_NS, SECOND_NS, START_NS, add_purchase, ticks
from pydantic import SecretStr

from api.app import create_app
from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.kafka.producer import Message

MINUTES = 34
SLOW_MS = 300
REQUESTS = 10
"""Of a pane, one after the other by half a second."""


def panes(slow: int) -> Iterator[list[Message]]:
    """Yield a pane's requests and ticks at a time: so many of each pane take 300 ms longer, from the first on."""
    for pane in range(MINUTES * 6):
        arrival_ns = START_NS + pane * 10 * SECOND_NS
        request = ExportTraceServiceRequest()
        for number in range(REQUESTS):
            begin_ns = arrival_ns - 8 * SECOND_NS + number * 500 * MS_NS
            trace = 1 + 37 * (pane * REQUESTS + number)  # none that fails
            add_purchase(request, trace, begin_ns, SLOW_MS if number < slow else 0)
        headers = [(TENANT_HEADER, b"acme"), (ARRIVAL_HEADER, b"%d" % arrival_ns)]
        sent = Message(TRACES.name, request.SerializeToString(), None, headers, pane % PARTITIONS)
        yield [sent, *ticks(arrival_ns, "acme", PARTITIONS)]
    yield ticks(START_NS + (MINUTES * 60 + 120) * SECOND_NS, "acme", PARTITIONS)


@pytest.mark.timeout(240)
async def test_a_service_that_was_always_too_slow_is_told_by_its_latency_budget_alone(own_broker: Settings) -> None:
    """Nothing deviates from its past: only the objective says that eight in ten requests are too many slow ones.

    The callee is to blame, its caller is slow because of it; what is told is in the budget, the incident and the alert.
    """
    limits = {"slo_latency_ms": 200.0, "slo_latency_objective": 0.95, "api_keys": SecretStr("key-of-acme:acme")}
    settings = quick(own_broker).model_copy(update=limits)
    async with running(settings) as (stores, worker):
        for messages in panes(slow=8):
            await stores.producer.send_many(messages)
        app = create_app(settings, stores)
        async with app.router.lifespan_context(app), _client(app) as http:
            await eventually(lambda: _count(http, "/incidents"), 1)
            await eventually(lambda: _count(http, "/alerts"), 1)
            [incident] = (await http.get("/incidents")).json()["items"]
            [alert] = (await http.get("/alerts")).json()["items"]
            span = {"start": START_NS - 60 * SECOND_NS, "end": START_NS + 40 * 60 * SECOND_NS, "indicator": "latency"}
            budget = (await http.get("/services/cart/budget", params=span)).json()
            failures = (await http.get("/services/cart/budget", params=span | {"indicator": "availability"})).json()
        assert worker.app.failure is None
    assert incident["title"] == alert["alert"]["title"] == "cart: latency budget burn 16x (normally 1x)"
    assert "it calls cart" in {one["service"]: one["reason"] for one in incident["services"]}["frontend"]
    covered_s = (incident["onset_ns"] - START_NS) // SECOND_NS
    assert 1_740 <= covered_s <= 1_860, "as soon as half of the hour is known, and not before"
    assert (budget["requests"], budget["errors"]) == (MINUTES * 6 * REQUESTS, MINUTES * 6 * 8)
    assert {step["burn_rate"] for step in budget["items"]} == {16.0}
    assert failures["errors"] == 0


def _client(app: Any) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(app)
    return httpx.AsyncClient(
        transport=transport, base_url="http://api/api/v1", headers={"Authorization": "Bearer key-of-acme"}
    )


async def _count(http: httpx.AsyncClient, path: str) -> int:
    return len((await http.get(path)).json()["items"])
