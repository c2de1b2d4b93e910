"""What the hours of the last weeks were like, read from minutes, is what was published then."""

from __future__ import annotations

from schemas.deviations import SeriesKind
from schemas.health import ConnectionType, EdgeHealth, EdgeStats, NodeKind, OperationHealth, RedStats, ServiceHealth
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.hour_reads import hourly_series
from sinks.clickhouse.panes import PaneSink
from streams.baselines.hour_cells import HourCells, HourConfig
from streams.baselines.hour_notes import visits_of

HOUR = 490_000
HOUR_NS = 3_600_000_000_000
MINUTE_NS = 60_000_000_000


def minute(tenant: str, start_ns: int, p50_ms: float | None, requests: int = 60, errors: int = 0) -> ServiceHealth:
    """Return the last pane of a minute: its window is that minute."""
    red = RedStats(
        requests=requests, errors=errors, rate_per_s=1, error_rate=0, p50_ms=p50_ms,
        p95_ms=None if p50_ms is None else 2 * p50_ms, self_p50_ms=p50_ms, self_p95_ms=p50_ms,
    )  # fmt: skip
    stats = EdgeStats(
        requests=requests, errors=errors, paired=requests, virtual=0, expired=0, gap_p50_ms=p50_ms, gap_p95_ms=p50_ms
    )
    caller = EdgeHealth(
        client="web", client_kind=NodeKind.SERVICE, connection_type=ConnectionType.REQUEST, pane=stats, window=stats
    )
    return ServiceHealth(
        tenant=tenant, service="checkout", node_kind=NodeKind.SERVICE, pane_start_ns=start_ns + 50_000_000_000,
        pane_s=10, window_s=60, revision=0, final=True, pane=red, window=red, edges_in=[caller],
        operations=[OperationHealth(operation="POST /buy", kind="server", pane=red, window=red)],
    )  # fmt: skip


async def test_an_hour_is_told_by_its_busiest_and_its_quietest_five_minutes(
    clickhouse: ClickHouse, tenant: str
) -> None:
    """Five slow minutes with failures, five quiet ones, and five without any latency; another tenant's do not count."""
    start_ns = HOUR * HOUR_NS
    panes = [minute(tenant, start_ns + number * MINUTE_NS, 10.0 + number) for number in range(5)]
    panes += [minute(tenant, start_ns + number * MINUTE_NS, 100.0, 600, 60) for number in range(20, 25)]
    panes += [minute(tenant, start_ns + number * MINUTE_NS, None, 0) for number in range(40, 45)]
    panes += [minute("another", start_ns + number * MINUTE_NS, 5000.0) for number in range(5)]
    await PaneSink(clickhouse).write_panes(panes)
    await PaneSink(clickhouse).write_panes(panes[:3])  # told again, it counts once
    found = await hourly_series(clickhouse, tenant, "checkout", start_ns, start_ns + HOUR_NS)
    told = {(one.kind, one.client, one.operation): one.hours for one in found}
    assert told == {
        (SeriesKind.P95, None, None): [(HOUR, 100.0, 200.0)],
        (SeriesKind.REQUEST_RATE, None, None): [(HOUR, 0.0, 0.0)],
        (SeriesKind.ERROR_RATE, None, None): [(HOUR, 300.0, 3000.0)],
        (SeriesKind.SELF_TIME, None, "POST /buy"): [(HOUR, 100.0, 100.0)],
        (SeriesKind.GAP, "web", None): [(HOUR, 100.0, 100.0)],
        (SeriesKind.EDGE_ERROR_RATE, "web", None): [(HOUR, 300.0, 3000.0)],
    }
    assert await hourly_series(clickhouse, tenant, "cart", start_ns, start_ns + HOUR_NS) == []


async def test_two_weeks_of_minutes_make_cells_that_are_reliable(clickhouse: ClickHouse, tenant: str) -> None:
    """As if the worker had measured them itself: in requests a pane, and surely failed shares."""
    for week in (1, 2):
        start_ns = (HOUR - week * 168) * HOUR_NS
        panes = [minute(tenant, start_ns + number * MINUTE_NS, 100.0, 600, 300) for number in range(60)]
        await PaneSink(clickhouse).write_panes(panes)
    found = await hourly_series(clickhouse, tenant, "checkout", (HOUR - 700) * HOUR_NS, HOUR * HOUR_NS)
    cells = HourCells()
    cells.seed(visits_of(found, 10, HourConfig()))
    own, rate, failed = "self_time\x1f\x1fPOST /buy", "request_rate\x1f\x1f", "error_rate\x1f\x1f"
    usual = cells.usual([own, failed], HOUR * HOUR_NS)
    quiet = cells.usual([rate], HOUR * HOUR_NS, lowest=True)
    assert usual is not None
    assert quiet is not None
    assert 95 < usual.values[0, 0] < 105
    assert 450 < usual.values[1, 0] < 500
    assert 95 < quiet.values[0, 0] < 105
