"""A made service that nothing but chance moves: independent requests, however many series they are counted in."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.health import (
    ConnectionType,
    EdgeHealth,
    EdgeStats,
    InstanceHealth,
    NodeKind,
    OperationHealth,
    RedStats,
    ServiceHealth,
)  # fmt: skip
from streams.latency import bin_of
from tests.made_health import pane_start

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Places = NDArray[np.int64]


@dataclass
class NoisyService:
    """Requests of so many operations, by so many callers, at so many instances; each is drawn by itself."""

    name: str
    seed: int
    operations: int = 1
    callers: int = 1
    instances: int = 1
    rate_per_s: float = 3.0
    fails: float = 0.02
    chance: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self.chance = np.random.default_rng(self.seed)

    def pane(self, number: int) -> ServiceHealth:
        """Return the picture of a pane."""
        chance, requests = self.chance, int(self.chance.poisson(self.rate_per_s * 10)) + 1
        own = chance.lognormal(3.0, 0.6, requests)
        gap = chance.lognormal(1.0, 0.6, requests)
        failed = chance.random(requests) < self.fails
        at = [chance.integers(0, many, requests) for many in (self.operations, self.callers, self.instances)]
        whole = _red(own, failed)
        operations = [
            OperationHealth(operation=f"op{one}", kind="server", pane=stats, window=stats)
            for one in range(self.operations)
            if (stats := _red(own[at[0] == one], failed[at[0] == one])).requests
        ]
        edges = [_edge(f"caller{one}", own, gap, failed, at[1] == one) for one in range(self.callers)]
        logged = int(chance.binomial(requests, self.fails))
        return ServiceHealth(
            tenant="noise", service=self.name, node_kind=NodeKind.SERVICE, pane_start_ns=pane_start(number), pane_s=10,
            window_s=60, revision=0, final=False, pane=whole, window=whole, operations=operations,
            edges_in=[edge for edge in edges if edge is not None],
            log_severities={"info": requests, "error": logged}, instances=self._instances(own, failed, at[2]),
        )  # fmt: skip

    def _instances(self, own: Floats, failed: Flags, at: Places) -> list[InstanceHealth]:
        if self.instances < 2:
            return []
        bins = bin_of((own * 1e6).astype(np.int64)) // 4 * 4 + 2
        told = []
        for one in np.unique(at).tolist():
            places, counts = np.unique(bins[at == one], return_counts=True)
            durations = dict(zip(places.tolist(), counts.tolist(), strict=True))
            has = at == one
            told.append(
                InstanceHealth(
                    instance=f"pod{one}", requests=int(has.sum()), errors=int(failed[has].sum()), durations=durations
                )
            )
        return told


def _edge(client: str, own: Floats, gap: Floats, failed: Flags, has: Flags) -> EdgeHealth | None:
    requests = int(has.sum())
    if not requests:
        return None
    (client50, client95), (own50, own95), (gap50, gap95) = (_quantiles(t[has]) for t in (own + gap, own, gap))
    stats = EdgeStats(
        requests=requests, errors=int(failed[has].sum()), paired=requests, virtual=0, expired=0, client_p50_ms=client50,
        client_p95_ms=client95, server_p50_ms=own50, server_p95_ms=own95, gap_p50_ms=gap50, gap_p95_ms=gap95,
    )  # fmt: skip
    return EdgeHealth(
        client=client, client_kind=NodeKind.SERVICE, connection_type=ConnectionType.REQUEST, pane=stats, window=stats
    )  # fmt: skip


def _red(own: Floats, failed: Flags) -> RedStats:
    requests, errors = len(own), int(failed.sum())
    if not requests:
        return RedStats(requests=0, errors=0, rate_per_s=0, error_rate=0)
    p50, p95 = _quantiles(own)
    return RedStats(
        requests=requests, errors=errors, rate_per_s=requests / 10, error_rate=errors / requests, p50_ms=p50,
        p95_ms=p95, p99_ms=p95, self_p50_ms=p50, self_p95_ms=p95,
    )  # fmt: skip


def _quantiles(times: Floats) -> tuple[float, float]:
    """Return the median and the 95th percentile, each a time that was measured."""
    ordered = np.sort(times)
    return float(ordered[(len(times) - 1) // 2]), float(ordered[max(int(np.ceil(0.95 * len(times))), 1) - 1])
