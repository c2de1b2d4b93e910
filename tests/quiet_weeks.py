"""A made service with the rhythm of a business: days, weekends, a rush on Monday mornings, a job in every night.

Nothing is wrong with it. The rush triples traffic and makes requests four times as slow for twenty minutes;
the job makes them eight times as slow for a quarter of an hour, lets it write error logs, and begins some minutes
early or late. Both come within a pane or two, as a trailing baseline sees a fault come.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from schemas.health import ServiceHealth
from tests.made_health import PANE_NS, START_NS, edge, health

HOUR = 360
DAY = 24 * HOUR
WEEK = 7 * DAY
_TO_MONDAY_NS = -(START_NS // 1_000_000_000 - 4 * 86_400) % (7 * 86_400) * 1_000_000_000  # 1970 began on a Thursday
MONDAY = _TO_MONDAY_NS // PANE_NS
"""The first pane of a Monday, counted as `tests.made_health` does."""
RUSH = (8 * HOUR + 60, 8 * HOUR + 180)
JOB = (2 * HOUR + 15, 2 * HOUR + 105)


@dataclass
class QuietWeeks:
    """Panes of the service, counted from the first Monday on."""

    seed: int = 5
    requests: int = 120
    fault: tuple[int, int] = (0, 0)
    """Panes in which requests take `fault_factor` times as long as they would."""
    fault_factor: float = 6.0
    _noise: np.random.Generator = field(init=False)
    _starts: dict[int, int] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._noise = np.random.default_rng(self.seed)

    def panes(self, first: int, end: int) -> Iterator[ServiceHealth]:
        """Yield the pictures of some panes."""
        for pane in range(first, end):
            yield self._picture(pane)

    def _picture(self, pane: int) -> ServiceHealth:
        load, slower = self._load(pane), 1.0
        if pane // DAY % 7 == 0 and RUSH[0] <= pane % DAY < RUSH[1]:
            load, slower = 3.0 * load, 4.0
        has_job = self._has_job(pane)
        slower *= 8.0 if has_job else 1.0
        slower *= self.fault_factor if self.fault[0] <= pane < self.fault[1] else 1.0
        requests = int(self._noise.poisson(self.requests * load))
        own_ms = 12.0 * (1.0 + 0.3 * load) * slower * float(self._noise.lognormal(0, 0.12))
        errors = int(self._noise.binomial(requests, 0.3 if has_job else 0.002))
        return health(
            "catalog", MONDAY + pane, requests, own_ms=own_ms, edges=[edge("shop", requests)] if requests else [],
            logs={"info": requests, "error": errors} if requests else {},
        )  # fmt: skip

    def _load(self, pane: int) -> float:
        hour, day = pane % DAY / HOUR, pane // DAY % 7
        return (0.2 + 0.8 * (0.5 - 0.5 * math.cos(2 * math.pi * (hour - 4) / 24))) * (0.5 if day >= 5 else 1.0)

    def _has_job(self, pane: int) -> bool:
        day = pane // DAY
        late = self._starts.setdefault(day, int(np.random.default_rng((self.seed, day)).integers(-18, 18)))
        return JOB[0] + late <= pane % DAY < JOB[1] + late
