"""The panes a load must give, told from all of it at once, and the panes that the store has.

A trace shares no span with another, so `tests.batch_oracle` is asked trace by trace and its answers are added up.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from batch_oracle import edges_of, operations_of
from made_spans import MS_NS
from numbered_load import CHUNK_NS, LOGS_A_CHUNK, START_NS, Load

from schemas.health import NodeKind, ServiceHealth
from sinks.clickhouse.client import ClickHouse
from streams.contents import PaneContents
from streams.pictures import Standing, picture_of
from streams.windows import WindowConfig

RED = ("requests", "errors", "p50_ms", "p95_ms", "p99_ms", "self_p50_ms", "self_p95_ms")
EDGE = (
    "requests", "errors", "paired", "virtual", "expired", "client_p50_ms", "client_p95_ms", "server_p50_ms",
    "server_p95_ms", "gap_p50_ms", "gap_p95_ms",
)  # fmt: skip

Key = tuple[Any, ...]
Rows = dict[Key, dict[str, Any]]
"""(table, pane start, names) → what the row says."""


def expected_rows(load: Load, config: WindowConfig) -> Rows:
    """Return the rows of every pane of the load."""
    panes: dict[tuple[str, str], dict[int, PaneContents]] = defaultdict(lambda: defaultdict(PaneContents))
    for arrivals in load.arrivals():
        for pictures in (operations_of(arrivals, config), edges_of(arrivals, config)):
            for (node, kind, start_ns), contents in pictures.items():
                panes[node, kind][start_ns].add(contents)
    for start_ns, severities in _severities(load, config).items():
        panes["cart", "service"][start_ns].log_severities = severities
    rows: Rows = {}
    for (node, kind), by_start in panes.items():
        for start_ns in range(config.pane_of(START_NS), load.end_ns, config.pane_ns):
            rows |= rows_of(_picture(load, node, kind, by_start, start_ns, config))
    return rows


def _severities(load: Load, config: WindowConfig) -> dict[int, dict[str, int]]:
    counts: dict[int, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for number in range(load.chunks * LOGS_A_CHUNK):
        chunk, place = divmod(number, LOGS_A_CHUNK)
        start_ns = config.pane_of(START_NS + chunk * CHUNK_NS + place * 39 * MS_NS)
        counts[start_ns]["info" if number % 5 else "error"] += 1
    return {start_ns: dict(found) for start_ns, found in counts.items()}


def _picture(
    load: Load, node: str, kind: str, panes: dict[int, PaneContents], start_ns: int, config: WindowConfig
) -> ServiceHealth:
    window = PaneContents()
    for earlier_ns in range(start_ns + config.pane_ns - config.window_ns, start_ns + config.pane_ns, config.pane_ns):
        window.add(panes.get(earlier_ns, PaneContents()))
    standing = Standing(load.tenant, node, NodeKind(kind), start_ns, 0, 0, driven=True, final=True)
    return picture_of(standing, panes.get(start_ns, PaneContents()), window, config)


def rows_of(pane: ServiceHealth) -> Rows:
    """Return what the store must have of a picture."""
    start_ns = pane.pane_start_ns
    rows: Rows = {
        ("service", start_ns, pane.service): _both(pane, RED)
        | {"final": pane.final, "log_severities": pane.log_severities, "late_items": pane.late_items}
    }
    for operation in pane.operations:
        rows["operation", start_ns, pane.service, operation.operation, operation.kind] = _both(operation, RED)
    for edge in pane.edges_in:
        rows["edge", start_ns, pane.service, edge.client, edge.connection_type.value] = _both(edge, EDGE)
    return rows


def _both(part: Any, names: tuple[str, ...]) -> dict[str, Any]:
    said = {name: getattr(part.pane, name) for name in names}
    return said | {f"window_{name}": getattr(part.window, name) for name in names}


TABLES = {
    "service": ("service_panes", ("service",), RED, ("final", "log_severities", "late_items")),
    "operation": ("operation_panes", ("service", "operation", "kind"), RED, ()),
    "edge": ("edge_panes", ("server", "client", "connection_type"), EDGE, ()),
}


async def stored_rows(clickhouse: ClickHouse, load: Load) -> Rows:
    """Return what the store has of the load's panes; of operations and edges what the newest picture has."""
    rows: Rows = {}
    versions: dict[Key, int] = {}
    for kind, (table, names, numbers, more) in TABLES.items():
        columns = [*numbers, *(f"window_{name}" for name in numbers), *more]
        found = await clickhouse.query(
            f"SELECT toUnixTimestamp64Milli(pane_start) AS start_ms, version, {', '.join([*names, *columns])}"
            f" FROM {table} FINAL WHERE tenant = {{tenant:String}}",
            {"tenant": load.tenant},
        )
        for row in found:
            start_ns, node = row["start_ms"] * MS_NS, row[names[0]]
            newest = versions.setdefault((start_ns, node), row["version"])  # services come first
            if start_ns < load.end_ns and row["version"] >= newest:
                rows[kind, start_ns, *(row[name] for name in names)] = {column: row[column] for column in columns}
    return rows


def differences(found: Rows, expected: Rows) -> tuple[str, ...]:
    """Return in words what differs.

    What was taken back leaves a blank picture where somebody had been told of a virtual node: that is no difference.
    """
    words = [f"missing {key}" for key in expected.keys() - found.keys()]
    words += [f"extra {key}: {found[key]}" for key in found.keys() - expected.keys() if found[key]["window_requests"]]
    for key in found.keys() & expected.keys():
        words += [
            f"{key} {column}: {found[key][column]} instead of {value}"
            for column, value in expected[key].items()
            if found[key][column] != value
        ]
    return tuple(words)
