"""Who sends more distinct names than there is room for: read from the published windows of all tenants."""

from __future__ import annotations

from dataclasses import dataclass

from schemas.keys import OVERFLOW_OPERATION, OVERFLOW_SERVICE
from sinks.clickhouse.client import ClickHouse

_OVERFLOWS = """
WITH now('UTC') - INTERVAL {seconds:UInt32} SECOND AS since
SELECT tenant, kind, service, uniqExact(pane_start) AS panes, max(requests) AS most_requests
FROM (
    SELECT tenant, 'services' AS kind, '' AS service, pane_start, requests FROM service_panes
    WHERE service = {overflow_service:String} AND stored_at >= since AND pane_start >= since - INTERVAL 1 DAY
    UNION ALL
    SELECT tenant, 'operations' AS kind, service, pane_start, requests FROM operation_panes
    WHERE operation = {overflow_operation:String} AND stored_at >= since AND pane_start >= since - INTERVAL 1 DAY
    UNION ALL
    SELECT tenant, 'callers' AS kind, server AS service, pane_start, requests FROM edge_panes
    WHERE client = {overflow_service:String} AND stored_at >= since AND pane_start >= since - INTERVAL 1 DAY
)
GROUP BY tenant, kind, service
ORDER BY most_requests DESC, tenant, kind, service
LIMIT {limit:UInt32}
"""


@dataclass(frozen=True, slots=True)
class Overflow:
    """Names beyond a cap, kept together as ``__overflow__`` in the panes stored lately."""

    tenant: str
    kind: str
    """``services`` of the tenant, ``operations`` of a service, or its ``callers``."""
    service: str
    """Empty for ``services``."""
    panes: int
    most_requests: int
    """In one window: how much traffic is seen together only."""


async def overflows(clickhouse: ClickHouse, seconds: int, limit: int = 20) -> list[Overflow]:
    """Return what overflowed in panes stored in the last ``seconds``, largest first. Raises `StoreError`.

    Panes older than a day by then (a recording being replayed) are not looked at, which spares whole partitions.
    """
    parameters = {
        "seconds": seconds, "limit": limit,
        "overflow_service": OVERFLOW_SERVICE, "overflow_operation": OVERFLOW_OPERATION,
    }  # fmt: skip
    return [Overflow(**row) for row in await clickhouse.query(_OVERFLOWS, parameters)]
