"""Published panes are replaced, never added to, and read by tenant."""

from __future__ import annotations

from typing import Any

from schemas.health import (
    ConnectionType,
    EdgeHealth,
    EdgeStats,
    Exemplars,
    NodeKind,
    OperationHealth,
    RedStats,
    ServiceHealth,
    SignatureCount,
)
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.pane_reads import edges_at, health_series, services, signatures
from sinks.clickhouse.pane_revisions import stored_panes
from sinks.clickhouse.panes import PaneSink

MINUTE_NS = 60_000_000_000
PANE_NS = 10_000_000_000
START_NS = 1_780_000_020 // 60 * 60 * 1_000_000_000


def red(requests: int, seconds: int, p95_ms: float | None = 12.5) -> RedStats:
    """Return statistics with one error."""
    return RedStats(
        requests=requests, errors=1, rate_per_s=requests / seconds, error_rate=1 / requests, p95_ms=p95_ms, p50_ms=3.0
    )


def edge(requests: int) -> EdgeStats:
    """Return an edge's statistics."""
    return EdgeStats(requests=requests, errors=0, paired=requests, virtual=0, expired=0, gap_p95_ms=1.5)


def health(tenant: str, service: str = "checkout", requests: int = 10, **changes: Any) -> ServiceHealth:
    """Return a pane with an operation and an incoming edge, but for some changes."""
    fields: dict[str, Any] = {
        "pane": red(requests, 10), "window": red(6 * requests, 60),
        "pane_start_ns": START_NS, "revision": 0, "version": 100, "final": False, "late_items": 2,
        "log_severities": {"error": 3}, "exemplars": Exemplars(slow=["a" * 32]),
        "operations": [
            OperationHealth(operation="GET /", kind="server", pane=red(requests, 10), window=red(6 * requests, 60))
        ],
        "edges_in": [
            EdgeHealth(client="web", client_kind=NodeKind.SERVICE, connection_type=ConnectionType.REQUEST,
                       pane=edge(requests), window=edge(6 * requests))
        ],
    }  # fmt: skip
    return ServiceHealth(
        tenant=tenant, service=service, node_kind=NodeKind.SERVICE, pane_s=10, window_s=60,
        **(fields | changes),
    )  # fmt: skip


async def test_a_pane_comes_back_as_it_was_published(clickhouse: ClickHouse, tenant: str) -> None:
    """Pane and window, severities, exemplars; nothing measured is None."""
    pane = health(tenant, pane=red(10, 10, p95_ms=None))
    await PaneSink(clickhouse).write_panes([pane])
    [point] = await health_series(clickhouse, tenant, "checkout", START_NS, START_NS + PANE_NS)
    assert (point.pane, point.window) == (pane.pane, pane.window)
    assert (point.pane_start_ns, point.log_severities, point.slow_traces) == (START_NS, {"error": 3}, ["a" * 32])
    assert (point.revision, point.final, point.late_items) == (0, False, 2)
    [of_operation] = await health_series(clickhouse, tenant, "checkout", START_NS, START_NS + PANE_NS, "GET /")
    assert of_operation.pane == pane.operations[0].pane


async def test_a_later_version_replaces_and_an_earlier_one_changes_nothing(clickhouse: ClickHouse, tenant: str) -> None:
    """In whatever order they are written, and however often: replace, never add."""
    sink = PaneSink(clickhouse)
    first, second = health(tenant), health(tenant, requests=20, revision=1, version=200, final=True)
    for pane in (first, second, first, second, first):
        await sink.write_panes([pane])
    [point] = await health_series(clickhouse, tenant, "checkout", START_NS, START_NS + PANE_NS)
    assert (point.pane.requests, point.revision, point.final) == (20, 1, True)
    [of_operation] = await health_series(clickhouse, tenant, "checkout", START_NS, START_NS + PANE_NS, "GET /")
    assert of_operation.pane.requests == 20
    [found] = await edges_at(clickhouse, tenant, START_NS + PANE_NS)
    assert found.window.requests == 120


async def test_what_a_later_picture_takes_back_is_not_shown(clickhouse: ClickHouse, tenant: str) -> None:
    """An edge and an operation that only an earlier picture of the pane had: a half edge found its other half."""
    sink = PaneSink(clickhouse)
    await sink.write_panes([health(tenant), health(tenant, version=200, revision=1, edges_in=[], operations=[])])
    assert await edges_at(clickhouse, tenant, START_NS + PANE_NS) == []
    assert await health_series(clickhouse, tenant, "checkout", START_NS, START_NS + PANE_NS, "GET /") == []
    [pane] = (await stored_panes(clickhouse, tenant, [START_NS])).values()
    assert (pane.operations, pane.edges) == ({}, {})


async def test_the_newest_window_of_each_service_is_its_summary(clickhouse: ClickHouse, tenant: str) -> None:
    """At the instant asked for: later panes are not known yet, and old ones are forgotten."""
    panes = [health(tenant, pane_start_ns=START_NS + n * PANE_NS, requests=10 + n) for n in range(3)]
    await PaneSink(clickhouse).write_panes([*panes, health(tenant, "cart")])
    found = await services(clickhouse, tenant, START_NS + PANE_NS)
    assert [(s.service, s.window.requests) for s in found] == [("cart", 60), ("checkout", 66)]
    assert [s.service for s in await services(clickhouse, tenant, START_NS + 2 * PANE_NS, service="cart")] == ["cart"]
    assert await services(clickhouse, tenant, START_NS + 7200 * 1_000_000_000) == []


async def test_the_map_shows_each_edge_once(clickhouse: ClickHouse, tenant: str) -> None:
    """Its newest window, with both ends and the gap."""
    panes = [health(tenant, pane_start_ns=START_NS + n * PANE_NS) for n in range(3)]
    await PaneSink(clickhouse).write_panes(panes)
    [found] = await edges_at(clickhouse, tenant, START_NS + 2 * PANE_NS)
    assert (found.client, found.server, found.connection_type) == ("web", "checkout", ConnectionType.REQUEST)
    assert (found.pane_start_ns, found.window.gap_p95_ms) == (START_NS + 2 * PANE_NS, 1.5)


async def test_the_window_that_ends_a_minute_is_kept_as_the_minute(clickhouse: ClickHouse, tenant: str) -> None:
    """One row of six panes, replaced like them."""
    sink = PaneSink(clickhouse)
    panes = [health(tenant, pane_start_ns=START_NS + n * PANE_NS) for n in range(12)]
    await sink.write_panes(panes)
    await sink.write_panes([health(tenant, pane_start_ns=START_NS + 5 * PANE_NS, requests=30, version=200)])
    rows = await clickhouse.query(
        "SELECT toUnixTimestamp(minute) AS minute, requests FROM service_minutes FINAL"
        " WHERE tenant = {t:String} ORDER BY minute",
        {"t": tenant},
    )
    assert [(row["minute"], row["requests"]) for row in rows] == [
        (START_NS // 1_000_000_000, 180),
        ((START_NS + MINUTE_NS) // 1_000_000_000, 60),
    ]


async def test_another_tenants_panes_are_not_there(clickhouse: ClickHouse, tenant: str) -> None:
    """Neither series nor summaries nor edges."""
    await PaneSink(clickhouse).write_panes([health(f"{tenant}-other")])
    assert await health_series(clickhouse, tenant, "checkout", 0, START_NS + MINUTE_NS) == []
    assert await services(clickhouse, tenant, START_NS + PANE_NS) == []
    assert await edges_at(clickhouse, tenant, START_NS + PANE_NS) == []


async def test_no_panes_are_nothing_to_write(clickhouse: ClickHouse) -> None:
    """An empty batch, and a pane without operations and edges."""
    await PaneSink(clickhouse).write_panes([])
    await PaneSink(clickhouse).write_panes([health("bare", operations=[], edges_in=[])])
    assert len(await health_series(clickhouse, "bare", "checkout", START_NS, START_NS + PANE_NS)) == 1


def signature(lines: int, template: str = "payment of <n> refused") -> SignatureCount:
    """Return a signature of a pane."""
    return SignatureCount(
        signature="a" * 16, kind="log", template=template, severity="error", pane=lines, window=9,
        first_seen_ns=START_NS, sample=f"payment of {lines} refused", sample_trace_id="b" * 32,
    )  # fmt: skip


async def test_signatures_are_summed_over_panes_and_replaced_within_one(clickhouse: ClickHouse, tenant: str) -> None:
    """A revision does not count its lines twice; the template is told as it was last."""
    sink = PaneSink(clickhouse)
    await sink.write_panes([health(tenant, signatures=[signature(2)])])
    await sink.write_panes([health(tenant, signatures=[signature(3)], version=101, revision=1)])
    later = health(tenant, signatures=[signature(4, "payment of <n> <*>")], pane_start_ns=START_NS + PANE_NS)
    silent = health(tenant, signatures=[signature(0)], pane_start_ns=START_NS + 2 * PANE_NS)
    await sink.write_panes([later, silent])
    (found,) = await signatures(clickhouse, tenant, "checkout", START_NS, START_NS + 5 * PANE_NS)
    assert (found.signature, found.template, found.lines) == ("a" * 16, "payment of <n> <*>", 7)
    assert found.panes == [(START_NS, 3), (START_NS + PANE_NS, 4)]
    assert (found.first_seen_ns, found.last_seen_ns) == (START_NS, START_NS + PANE_NS)
    assert (found.sample, found.sample_trace_id) == ("payment of 3 refused", "b" * 32)
    assert await signatures(clickhouse, "other", "checkout", START_NS, START_NS + 5 * PANE_NS) == []
