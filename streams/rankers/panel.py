"""What the windows of a tenant held, as one array a measure: services x panes."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from schemas.health import NodeKind, ServiceHealth

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Panel:
    """Measures of all services. Arrays are (services, panes), NaN where nothing was measured; latencies in ms."""

    services: list[str]
    pane_ns: NDArray[np.int64]
    """Starts of the panes, ascending."""
    p95_ms: Floats
    own_ms: Floats
    """95th percentile of self time."""
    gap_ms: Floats
    """95th percentile of client minus server time over the incoming edges, weighted by their traffic."""
    error_rate: Floats
    calls: dict[tuple[str, str], int]
    """Requests from service to service."""

    def between(self, start_ns: int, end_ns: int) -> slice:
        """Return the panes that start in [start_ns, end_ns)."""
        first, last = np.searchsorted(self.pane_ns, (start_ns, end_ns))
        return slice(int(first), int(last))


class PanelBuilder:
    """Collects pictures of services; the newest revision of a pane counts."""

    def __init__(self) -> None:
        self._panes: dict[tuple[str, int], ServiceHealth] = {}

    def step(self, health: ServiceHealth) -> None:
        """Take one picture; virtual nodes are left out."""
        if health.node_kind is NodeKind.SERVICE:
            self._panes[health.service, health.pane_start_ns] = health

    def build(self) -> Panel:
        """Return what was collected."""
        services = sorted({service for service, _ in self._panes})
        starts = sorted({start_ns for _, start_ns in self._panes})
        rows, columns = {name: i for i, name in enumerate(services)}, {start: i for i, start in enumerate(starts)}
        p95, own, gap, errors = (np.full((len(services), len(starts)), np.nan) for _ in range(4))
        calls: Counter[tuple[str, str]] = Counter()
        for (service, start_ns), health in self._panes.items():
            place = rows[service], columns[start_ns]
            p95[place], own[place] = _known(health.pane.p95_ms), _known(health.pane.self_p95_ms)
            gap[place] = _gap_ms(health)
            errors[place] = health.pane.error_rate if health.pane.requests else math.nan
            calls.update({(e.client, service): e.pane.requests for e in health.edges_in if e.client in rows})
        return Panel(services, np.array(starts, dtype=np.int64), p95, own, gap, errors, dict(calls))


def _known(value: float | None) -> float:
    return math.nan if value is None else value


def _gap_ms(health: ServiceHealth) -> float:
    measured = [(e.pane.gap_p95_ms, e.pane.paired) for e in health.edges_in if e.pane.gap_p95_ms is not None]
    paired = sum(count for _, count in measured)
    return sum(gap_ms * count for gap_ms, count in measured) / paired if paired else math.nan
