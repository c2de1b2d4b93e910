"""Late data through a real worker: its panes become what they would have been had everything come in time."""

from __future__ import annotations

from typing import Any

import pytest
from live_worker import PARTITIONS, eventually, quick, running
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from otlp_load import SECOND_NS, START_NS, add_purchase, log_request, ticks

from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import LOGS, TRACES
from sinks.clickhouse.pane_revisions import history
from sinks.kafka.producer import Message
from sinks.stores import Stores

SECONDS = 50
LATE_S = 300
"""When the late half of it arrives: long after the panes have closed."""
TELLING = "tenant, version, revision, final, cause, late_items, stored_at"


def headers(tenant: str, arrival_s: int) -> list[tuple[str, bytes]]:
    """Return the headers of a record of a driven tenant."""
    return [(TENANT_HEADER, tenant.encode()), (ARRIVAL_HEADER, b"%d" % (START_NS + arrival_s * SECOND_NS))]


def traces(number: int) -> tuple[bytes, bytes]:
    """Return two requests of second ``number``: some spans, and the others of the same traces."""
    whole = ExportTraceServiceRequest()
    for trace in range(number * 4, number * 4 + 4):
        add_purchase(whole, trace, START_NS + number * SECOND_NS - 600_000_000)
    halves = ExportTraceServiceRequest(), ExportTraceServiceRequest()
    for place, resource in enumerate(whole.resource_spans):
        halves[number % 10 == 5 and place % 4 in (1, 2)].resource_spans.add().CopyFrom(resource)
    return halves[0].SerializeToString(), halves[1].SerializeToString()


def log_records(number: int) -> bytes:
    """Return a log record of second ``number``."""
    return log_request(number, START_NS + number * SECOND_NS - 100_000_000).SerializeToString()


async def send(stores: Stores, tenant: str, late_s: int) -> None:
    """Send everything of a tenant; every tenth second a part of its traces and a log record come at ``late_s``."""
    late: list[Message] = []
    for number in range(SECONDS):
        in_time, rest = traces(number)
        place = number % PARTITIONS
        messages = [Message(TRACES.name, in_time, None, headers(tenant, number), place)]
        if rest:
            late.append(Message(TRACES.name, rest, None, headers(tenant, max(number, late_s)), place))
        log = Message(LOGS.name, log_records(number), None, headers(tenant, max(number, late_s)), place)
        if number % 10 == 7:
            late.append(log)
        else:
            messages.append(Message(LOGS.name, log.value, None, headers(tenant, number), place))
        if not late_s:
            messages, late = messages + late, []
        await stores.producer.send_many([*messages, *ticks(START_NS + number * SECOND_NS, tenant, PARTITIONS)])
    await stores.producer.send_many(ticks(START_NS + 200 * SECOND_NS, tenant, PARTITIONS))
    await stores.producer.send_many(late)
    for second in (LATE_S + 20, LATE_S + 200):
        await stores.producer.send_many(ticks(START_NS + second * SECOND_NS, tenant, PARTITIONS))


async def told(stores: Stores, table: str, tenant: str) -> list[dict[str, Any]]:
    """Return a table's rows of a tenant, but for which telling they are; what has become nought is left out."""
    busy = "requests > 0 OR window_requests > 0" + (" OR notEmpty(log_severities)" if table == "service_panes" else "")
    rows = await stores.clickhouse.query(
        f"SELECT * EXCEPT ({', '.join(c for c in TELLING.split(', ') if c in COLUMNS[table])}) FROM {table} FINAL"
        f" WHERE tenant = '{tenant}' AND ({busy}) ORDER BY ALL"
    )
    return list(rows)


COLUMNS = {
    "service_panes": TELLING.split(", "),
    "operation_panes": ["tenant", "version", "stored_at"],
    "edge_panes": ["tenant", "version", "stored_at"],
}


@pytest.mark.timeout(500)
async def test_late_data_makes_the_revision_that_everything_in_time_would_have_made(own_broker: Settings) -> None:
    """A tenant whose data came late ends with the panes, operations and edges of one whose data came in time."""
    settings = quick(own_broker)
    async with running(settings) as (stores, worker):
        await send(stores, "prompt", 0)
        await send(stores, "tardy", LATE_S)
        await eventually(lambda: _requests(stores, "prompt"), SECONDS * 4)
        await eventually(lambda: _requests(stores, "tardy"), SECONDS * 4)
        await eventually(lambda: _same(stores), 1)
        for table in COLUMNS:
            assert await told(stores, table, "tardy") == await told(stores, table, "prompt")
        first_ns, end_ns = START_NS - 60 * SECOND_NS, START_NS + 400 * SECOND_NS
        tellings = await history(stores.clickhouse, "tardy", "frontend", first_ns, end_ns, "late", 100)
        assert tellings
        assert all(one.final and one.revision > 0 for one in tellings)
        live = await history(stores.clickhouse, "tardy", "frontend", first_ns, end_ns, "live", 100)
        before = {one.pane_start_ns: one.requests for one in live if one.final}
        assert any(one.requests > before[one.pane_start_ns] for one in tellings)
        assert await history(stores.clickhouse, "prompt", "frontend", first_ns, end_ns, "late", 100) == []
        assert worker.app.failure is None


async def _same(stores: Stores) -> int:
    """Whether the last revision is there: the windows follow the panes."""
    return await told(stores, "edge_panes", "tardy") == await told(stores, "edge_panes", "prompt")


async def _requests(stores: Stores, tenant: str) -> int:
    sql = f"SELECT sum(requests) FROM service_panes FINAL WHERE tenant = '{tenant}' AND service = 'frontend'"
    return int(await stores.clickhouse.command(sql))
