"""Our figures, twice: from the operators that make the windows, and as SQL over the raw tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from figures import KINDS, Figures, Operation

from schemas.health import NodeKind
from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.clickhouse.client import ClickHouse
from streams.latency import Bins, add_into
from streams.partials import ServicePartial
from streams.pipeline import LocalPipeline
from topologies.recordings import RecordedMessage

AFTER_NS = 300 * 1_000_000_000


@dataclass
class OurFigures(Figures):
    """What the windows say."""

    durations: dict[Operation, Bins] = field(default_factory=dict)
    late: Counter[str] = field(default_factory=Counter)
    """Spans that came after their pane had closed, by service."""


class _Tap(LocalPipeline):
    """The pipeline, with the latest partial of each pane and source kept as health has them."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.latest: dict[tuple[str, str, NodeKind, int], ServicePartial] = {}

    def _roll_up(self, partials: Iterable[ServicePartial]) -> None:
        kept = list(partials)
        self.latest |= {(p.source, p.service, p.node_kind, p.pane_start_ns): p for p in kept}
        super()._roll_up(kept)


def window_figures(messages: Iterable[RecordedMessage]) -> OurFigures:
    """Run trace messages through the operators, in the order and at the times of their arrival."""
    pipeline, last_ns = _Tap(Settings(_env_file=None)), 0
    for message in messages:
        last_ns = message.arrival_ns
        for _ in pipeline.feed(TRACES.name, message.value, message.arrival_ns):
            pass
    for _ in pipeline.advance(last_ns + AFTER_NS):
        pass
    found = OurFigures()
    for partial in pipeline.latest.values():
        _add(partial, found)
    return found


def _add(partial: ServicePartial, found: OurFigures) -> None:
    found.late[partial.service] += partial.contents.late_items
    for (name, kind), tally in partial.contents.operations.items():
        found.calls[partial.service, name, KINDS[kind], False] += tally.requests - tally.errors
        found.calls[partial.service, name, KINDS[kind], True] += tally.errors
        add_into(found.durations.setdefault((partial.service, name, KINDS[kind]), {}), tally.latency)
    if partial.node_kind is NodeKind.SERVICE:
        for (client, client_kind, _), edge in partial.contents.edges.items():
            if client_kind == NodeKind.SERVICE.value:
                found.requests[client, partial.service] += edge.requests
                found.failures[client, partial.service] += edge.errors


CALLS_SQL = """
SELECT service, name, kind, status = 'error' AS failed, count() AS calls
FROM spans WHERE tenant = {tenant:String} GROUP BY service, name, kind, failed"""

P95_SQL = """
SELECT service, name, kind, arraySort(groupArray(duration_ns))[intDivOrZero(95 * count() + 99, 100)] AS p95_ns
FROM spans WHERE tenant = {tenant:String} GROUP BY service, name, kind"""

EDGES_SQL = """
SELECT client.service AS caller, server.service AS callee, uniqExact(client.trace_id, client.span_id) AS requests,
       uniqExactIf((client.trace_id, client.span_id), client.status = 'error' OR server.status = 'error') AS failures
FROM spans AS server
INNER JOIN spans AS client
    ON client.tenant = server.tenant AND client.trace_id = server.trace_id AND client.span_id = server.parent_span_id
WHERE server.tenant = {tenant:String}
  AND server.kind IN ('server', 'consumer') AND client.kind IN ('client', 'producer')
GROUP BY caller, callee"""


async def stored_figures(clickhouse: ClickHouse, tenant: str) -> Figures:
    """Count the same in SQL over the raw tables: every span that was stored, whenever it came."""
    bound, found = {"tenant": tenant}, Figures()
    for row in await clickhouse.query(CALLS_SQL, bound):
        found.calls[row["service"], row["name"], row["kind"], bool(row["failed"])] = row["calls"]
    for row in await clickhouse.query(EDGES_SQL, bound):
        found.requests[row["caller"], row["callee"]] = row["requests"]
        found.failures[row["caller"], row["callee"]] = row["failures"]
    return found


async def stored_p95_ns(clickhouse: ClickHouse, tenant: str) -> dict[Operation, float]:
    """Return the exact 95th percentiles (nearest rank) of what is stored."""
    rows = await clickhouse.query(P95_SQL, {"tenant": tenant})
    return {(row["service"], row["name"], row["kind"]): float(row["p95_ns"]) for row in rows}
