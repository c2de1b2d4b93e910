"""A worker that sees a service for the first time learns from ClickHouse what is usual at this hour of the week."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from live_worker import PARTITIONS, eventually, quick, running
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_load import SECOND_NS, TRACES_A_RECORD, add_purchase

from schemas.health import NodeKind, RedStats, ServiceHealth
from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.clickhouse.panes import PaneSink
from sinks.redis import badges
from sinks.stores import Stores
from topologies.preparing import prepare

HOUR_NS = 3600 * SECOND_NS
WEEK_NS = 168 * HOUR_NS


@pytest.mark.timeout(480)
async def test_a_new_service_is_judged_by_what_is_stored_of_its_weeks_also_after_a_restart(
    own_broker: Settings,
) -> None:
    """Two weeks are stored; after the restart they are not any more, and the changelog remembers."""
    settings = quick(own_broker).model_copy(update={"settle_s": 0.5, "pair_wait_s": 0.5})
    await prepare(settings)
    async with running(settings) as (stores, _):
        await PaneSink(stores.clickhouse).write_panes(list(weeks_before(time.time_ns())))
        async with purchases(stores, 0):
            await eventually(lambda: knows_the_hour(stores, "frontend"), 1)
            assert await knows_the_hour(stores, "cart") == 0, "nothing is stored of it"
        await stores.clickhouse.command("TRUNCATE TABLE service_minutes")
        await stores.redis.flushdb()
    async with running(settings) as (stores, _), purchases(stores, 500_000):
        await eventually(lambda: knows_the_hour(stores, "frontend"), 1)


def weeks_before(at_ns: int) -> list[ServiceHealth]:
    """Return ten minutes of this hour and of the next, one and two weeks ago."""
    hour_ns = at_ns // HOUR_NS * HOUR_NS
    starts = [hour_ns + hour * HOUR_NS - week * WEEK_NS for week in (1, 2) for hour in (0, 1)]
    return [minute(start_ns + number * 60 * SECOND_NS) for start_ns in starts for number in range(10)]


def minute(start_ns: int) -> ServiceHealth:
    """Return the last pane of a minute of the frontend."""
    red = RedStats(requests=60, errors=0, rate_per_s=1, error_rate=0, p50_ms=40, p95_ms=60)
    return ServiceHealth(
        tenant="acme", service="frontend", node_kind=NodeKind.SERVICE, pane_start_ns=start_ns + 50 * SECOND_NS,
        pane_s=10, window_s=60, revision=0, final=True, pane=red, window=red,
    )  # fmt: skip


async def knows_the_hour(stores: Stores, service: str) -> int:
    """Return 1 when it is told that this hour of the service is known."""
    return int((await badges(stores.redis, "acme")).get(service, ("", ""))[1] == "reliable")


@asynccontextmanager
async def purchases(stores: Stores, first: int) -> AsyncIterator[None]:
    """Let some traces come every second, now."""
    stop = asyncio.Event()
    sending = asyncio.create_task(_send(stores, first, stop))
    yield
    stop.set()
    await sending


async def _send(stores: Stores, first: int, stop: asyncio.Event) -> None:
    headers = [(TENANT_HEADER, b"acme")]
    while not stop.is_set():
        for partition in range(PARTITIONS):
            request = ExportTraceServiceRequest()
            for trace in range(first, first + TRACES_A_RECORD):
                add_purchase(request, trace, time.time_ns() - SECOND_NS)
            await stores.producer.send(TRACES.name, request.SerializeToString(), headers=headers, partition=partition)
            first += TRACES_A_RECORD
        await asyncio.sleep(0.5)  # the pace of the load, not a wait
