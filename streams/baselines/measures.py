"""What is measured of a service in one pane: levels (latencies) and ratios (failures among requests)."""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple, TypeVar

from schemas.deviations import SeriesKind
from schemas.health import ConnectionType, EdgeHealth, NodeKind, OperationHealth, RedStats, ServiceHealth

SEPARATOR = "\x1f"
FAILING_SEVERITIES = ("error", "fatal")
_ENTRY_KINDS = ("server", "consumer")
Measure = TypeVar("Measure")


class SeriesKey(NamedTuple):
    """Which series of the service: its kind, and the client of an edge or the operation where it is about one."""

    kind: SeriesKind
    client: str | None = None
    operation: str | None = None

    def packed(self) -> str:
        """As stored in the state: kind, client and operation, separated by the unit separator."""
        return _packed(self)

    @property
    def pool(self) -> SeriesKey:
        """The series that pools the evidence of this one and its siblings."""
        return SeriesKey(self.kind)


@lru_cache(maxsize=100_000)
def _packed(key: SeriesKey) -> str:
    return SEPARATOR.join((key.kind.value, key.client or "", key.operation or ""))


RATE_KEY = SeriesKey(SeriesKind.REQUEST_RATE).packed()


class Level(NamedTuple):
    """A latency in one pane: median and 95th percentile in milliseconds, over this many requests."""

    p50_ms: float
    p95_ms: float
    requests: int
    has_prior: bool = False
    """Something is believed of it before it is known."""


class Ratio(NamedTuple):
    """How many of the trials of one pane were hits (failures)."""

    hits: int
    trials: int


@dataclass(frozen=True, slots=True)
class Measures:
    """All that one pane says about one service. Series are in the order of their packed keys."""

    requests: int
    levels: dict[SeriesKey, Level]
    ratios: dict[SeriesKey, Ratio]
    has_plain_logs: bool
    log_failures: int
    unfollowed: int = 0
    """Requests of operations and callers that have no series of their own: there are busier ones."""

    @property
    def series(self) -> int:
        """How many series may alarm: these, the pools of several, the traffic, and the calls of each operation."""
        pools = Counter(key.pool for key in self.levels if key.pool not in self.levels)
        calls = sum(key.operation is not None for key in self.ratios)
        return len(self.levels) + len(self.ratios) + sum(many > 1 for many in pools.values()) + 1 + calls

    def fingerprint(self) -> int:
        """Return a number that is the same for the same measures."""
        said = [self.requests, self.has_plain_logs, self.log_failures]
        names = SEPARATOR.join([key.packed() for table in (self.levels, self.ratios) for key in table])
        numbers = [tuple(measure) for table in (self.levels, self.ratios) for measure in table.values()]
        return zlib.crc32(repr(numbers).encode(), zlib.crc32(f"{said}{names}".encode()))


def measures_of(health: ServiceHealth, max_edges: int, max_operations: int) -> Measures:
    """Take from a pane what has a baseline."""
    levels: dict[SeriesKey, Level] = {}
    ratios: dict[SeriesKey, Ratio] = {}
    pane, operations, edges = health.pane, _busiest_operations(health), _busiest_callers(health)
    if health.node_kind is NodeKind.SERVICE:
        _put(levels, SeriesKey(SeriesKind.P95), pane.p50_ms, pane.p95_ms, pane.requests)
        _measure_operations(operations[:max_operations], levels, ratios)
    if pane.requests:
        ratios[SeriesKey(SeriesKind.ERROR_RATE)] = Ratio(min(pane.errors, pane.requests), pane.requests)
    for edge in edges[:max_edges]:
        _measure_edge(edge, levels, ratios)
    failures, plain = _logs(health)
    if failures or plain or pane.requests:
        trials = max(pane.requests, 1)
        ratios[SeriesKey(SeriesKind.LOG_ERRORS)] = Ratio(min(failures, trials), trials)
    unfollowed = sum(one.pane.requests for one in operations[max_operations:])
    unfollowed += sum(one.pane.requests for one in edges[max_edges:])
    return Measures(pane.requests, _ordered(levels), _ordered(ratios), plain > 0, failures, unfollowed)


def _ordered(series: dict[SeriesKey, Measure]) -> dict[SeriesKey, Measure]:
    return dict(sorted(series.items(), key=lambda item: item[0].packed()))


def _busiest_operations(health: ServiceHealth) -> list[OperationHealth]:
    entries = [one for one in health.operations if one.kind in _ENTRY_KINDS]
    return sorted(entries, key=lambda o: (-o.window.requests, o.operation, o.kind))


def calls_by_operation(health: ServiceHealth) -> dict[str, int]:
    """Return the requests of the operations that were called in this pane, as far as they are listed."""
    calls: dict[str, int] = {}
    for one in health.operations:
        if one.kind in _ENTRY_KINDS and one.pane.requests:
            calls[one.operation] = calls.get(one.operation, 0) + one.pane.requests
    return calls


def _busiest_callers(health: ServiceHealth) -> list[EdgeHealth]:
    return sorted(health.edges_in, key=lambda e: (-e.window.requests, e.client))


def _measure_operations(
    operations: Sequence[OperationHealth], levels: dict[SeriesKey, Level], ratios: dict[SeriesKey, Ratio]
) -> None:
    """Take own time, time and failures by operation: a change of the mix is not a change of any of them.

    The time and the failures of an only operation are those of the service; the time of one that waits for nobody is
    its own time.
    """
    for one in operations:
        pane, key = one.pane, SeriesKey(SeriesKind.SELF_TIME, operation=one.operation)
        _put(levels, key, pane.self_p50_ms, pane.self_p95_ms, pane.requests)
        if len(operations) > 1 and _waits(pane):
            key = SeriesKey(SeriesKind.P95, operation=one.operation)
            _put(levels, key, pane.p50_ms, pane.p95_ms, pane.requests)
        if pane.requests and len(operations) > 1:
            key = SeriesKey(SeriesKind.ERROR_RATE, operation=one.operation)
            ratios[key] = Ratio(min(pane.errors, pane.requests), pane.requests)


def _waits(pane: RedStats) -> bool:
    """Tell whether requests wait for others. What is not known of own time yet comes with a revision of the pane."""
    times = (pane.self_p50_ms, pane.self_p95_ms)
    return None not in times and times != (pane.p50_ms, pane.p95_ms)


def _measure_edge(edge: EdgeHealth, levels: dict[SeriesKey, Level], ratios: dict[SeriesKey, Ratio]) -> None:
    if edge.client_kind is NodeKind.CLIENT:
        return
    pane = edge.pane
    is_request = edge.connection_type is ConnectionType.REQUEST
    _put(levels, SeriesKey(SeriesKind.GAP, edge.client), pane.gap_p50_ms, pane.gap_p95_ms, pane.paired, is_request)
    key = SeriesKey(SeriesKind.EDGE_LATENCY, edge.client)
    _put(levels, key, pane.client_p50_ms, pane.client_p95_ms, pane.requests)
    if pane.requests:
        key = SeriesKey(SeriesKind.EDGE_ERROR_RATE, edge.client)
        ratios[key] = Ratio(min(pane.errors, pane.requests), pane.requests)


def _put(
    levels: dict[SeriesKey, Level], key: SeriesKey, p50: float | None, p95: float | None, requests: int,
    has_prior: bool = False,
) -> None:  # fmt: skip
    if p50 is not None and p95 is not None and requests > 0:
        levels[key] = Level(p50, p95, requests, has_prior)


def _logs(health: ServiceHealth) -> tuple[int, int]:
    failures = sum(health.log_severities.get(name, 0) for name in FAILING_SEVERITIES)
    return failures, sum(health.log_severities.values()) - failures
