"""A made shop on an ordinary day: nothing is wrong with it, and nothing in it stands still.

Traffic follows the day (a fiftieth of noon's at night), latencies follow the load, some requests are slow by chance,
callers retry in bursts, a nightly job runs for a few minutes, a few requests fail and services log errors all day.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.health import ConnectionType, EdgeHealth, EdgeStats, NodeKind, OperationHealth, RedStats, ServiceHealth
from tests.made_health import pane_start

PANES_A_DAY = 8640
_PANE_S = 10
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Made:
    """One service: its callers, own time and gap in milliseconds (medians), and how it misbehaves on good days."""

    name: str
    callers: tuple[str, ...]
    share: float
    """Of the requests at the door."""
    own_ms: float
    gap_ms: float = 3.0
    spread: float = 0.5
    """Standard deviation of the logarithm of a latency."""
    slow_share: float = 0.01
    """Requests that take ten times as long."""
    error_share: float = 0.001
    log_share: float = 0.01


SHOP = (
    Made("storefront", (), 1.0, 8.0),
    Made("catalog", ("storefront",), 2.0, 3.0, slow_share=0.03),
    Made("cart", ("storefront",), 0.6, 5.0, spread=0.8),
    Made("checkout", ("storefront",), 0.05, 30.0, error_share=0.004, log_share=0.2),
    Made("payments", ("checkout",), 0.05, 120.0, gap_ms=20.0, spread=0.9),
    Made("mail", ("checkout",), 0.01, 400.0, spread=1.2, slow_share=0.1, log_share=0.5),
)


def load_of(pane: int) -> float:
    """Return the load by the hour: 0.02 at four in the night, 1 at four in the afternoon."""
    hour = pane % PANES_A_DAY * 24 / PANES_A_DAY
    return float(0.02 + 0.98 * (0.5 - 0.5 * math.cos(2 * math.pi * (hour - 4) / 24)) ** 1.5)


@dataclass
class QuietDay:
    """Panes of all services of the shop, from midnight on."""

    seed: int
    services: tuple[Made, ...] = SHOP
    noon_per_s: float = 10.0
    _noise: np.random.Generator = field(init=False)

    def __post_init__(self) -> None:
        self._noise = np.random.default_rng(self.seed)

    def panes(self, count: int = PANES_A_DAY, first: int = 0) -> Iterator[tuple[int, list[ServiceHealth]]]:
        """Yield (number, pictures of all services) of consecutive panes."""
        recent: dict[str, list[int]] = {one.name: [] for one in self.services}
        burst = 1.0
        for pane in range(first, first + count):
            burst = 0.9 * burst + 0.1 * float(self._noise.lognormal(0, 0.5))  # load wanders over minutes
            yield pane, [self._picture(one, pane, burst, recent[one.name]) for one in self.services]

    def load(self, pane: int) -> float:
        """Return the load by the hour: 0.02 at four in the night, 1 at four in the afternoon."""
        return load_of(pane)

    def _picture(self, one: Made, pane: int, burst: float, recent: list[int]) -> ServiceHealth:
        load = self.load(pane)
        requests = int(self._noise.poisson(self.noon_per_s * _PANE_S * load * burst * one.share))
        recent.append(requests)
        del recent[:-6]
        slower = 1.0 + 0.3 * load + (0.5 if 12 <= pane % PANES_A_DAY // 60 < 15 else 0.0)  # a job at two
        own, gaps = self._times(one, one.own_ms * slower, requests), self._times(one, one.gap_ms, requests)
        errors = int(self._noise.binomial(requests, one.error_share))
        pane_red, window = _red(requests, errors, own), _red(sum(recent), errors, own)
        operation = OperationHealth(operation="handle", kind="server", pane=pane_red, window=window)
        logged = int(self._noise.binomial(requests, one.log_share))
        return ServiceHealth(
            tenant="quiet", service=one.name, node_kind=NodeKind.SERVICE, pane_start_ns=pane_start(pane), pane_s=10,
            window_s=60, revision=0, final=False, pane=pane_red, window=window,
            operations=[operation] if requests else [], edges_in=self._edges(one, requests, own, gaps, errors),
            log_severities={"info": requests, "error": logged} if requests else {},
        )  # fmt: skip

    def _times(self, one: Made, median_ms: float, requests: int) -> Floats:
        times = median_ms * self._noise.lognormal(0, one.spread, requests)
        return np.where(self._noise.random(requests) < one.slow_share, 10 * times, times)

    def _edges(self, one: Made, requests: int, own: Floats, gaps: Floats, errors: int) -> list[EdgeHealth]:
        if not requests:
            return []
        client, server, gap = (_quantiles(times) for times in (own + gaps, own, gaps))
        stats = EdgeStats(
            requests=requests, errors=errors, paired=requests if one.callers else 0,
            virtual=0 if one.callers else requests, expired=0, client_p50_ms=client[0], client_p95_ms=client[1],
            server_p50_ms=server[0], server_p95_ms=server[1], gap_p50_ms=gap[0] if one.callers else None,
            gap_p95_ms=gap[1] if one.callers else None,
        )  # fmt: skip
        kind = NodeKind.SERVICE if one.callers else NodeKind.CLIENT
        connection = ConnectionType.REQUEST if one.callers else ConnectionType.VIRTUAL
        callers = one.callers or ("client",)
        return [
            EdgeHealth(client=name, client_kind=kind, connection_type=connection, pane=stats, window=stats)
            for name in callers
        ]


def _quantiles(times: Floats) -> tuple[float, float, float]:
    ranks = np.maximum(np.ceil(np.array([0.5, 0.95, 0.99]) * times.size).astype(int), 1) - 1
    p50, p95, p99 = np.sort(times)[ranks].tolist()
    return p50, p95, p99


def _red(requests: int, errors: int, own: Floats) -> RedStats:
    if not requests or not own.size:
        return RedStats(requests=requests, errors=errors, rate_per_s=requests / _PANE_S, error_rate=0)
    p50, p95, p99 = _quantiles(own)
    return RedStats(
        requests=requests, errors=errors, rate_per_s=requests / _PANE_S, error_rate=errors / requests, p50_ms=p50,
        p95_ms=p95, p99_ms=p99, self_p50_ms=p50, self_p95_ms=p95,
    )  # fmt: skip
