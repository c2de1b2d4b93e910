"""Reads how the requests of a service went, in steps of time: what its error budget was spent on."""

from __future__ import annotations

from schemas.queries import BudgetStep, Indicator
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.pane_reads import instant

STEPS = """
SELECT intDiv(toUnixTimestamp64Milli(pane_start), {step_ms:Int64}) * {step_ms:Int64} * 1000000 AS start_ns,
       sum(pane_s) AS measured_s, sum(requests) AS requests,
       sum(if({indicator:String} = 'latency', slow_requests, errors)) AS errors
FROM service_panes FINAL
WHERE tenant = {tenant:String} AND service = {service:String}
  AND pane_start >= {start:DateTime64(3, 'UTC')} AND pane_start < {end:DateTime64(3, 'UTC')}
GROUP BY start_ns
ORDER BY start_ns
"""


async def budget_steps(
    clickhouse: ClickHouse, tenant: str, service: str, start_ns: int, end_ns: int, step_s: int,
    indicator: Indicator = "availability",
) -> list[BudgetStep]:  # fmt: skip
    """Return the requests of a service in [start, end), and those that failed (or were slow), by step, oldest first.

    Steps without panes are not told. A revision of a pane has replaced it, so it counts once.
    """
    parameters = {
        "tenant": tenant, "service": service, "start": instant(start_ns), "end": instant(end_ns),
        "step_ms": step_s * 1000, "indicator": indicator,
    }  # fmt: skip
    return [BudgetStep(**row) for row in await clickhouse.query(STEPS, parameters)]
