"""A made service with many instances behind one door: whose requests take how long, pane by pane."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.health import InstanceHealth, ServiceHealth
from streams.latency import Bins, bin_of, quantile_ms
from streams.pictures import MAX_INSTANCES
from tests.made_health import edge, health

Floats = NDArray[np.float64]
MEDIAN_MS, SPREAD = 40.0, 0.5


@dataclass
class Instance:
    """One instance: how many times as long as others it takes, what is added, and which share of requests it fails."""

    name: str
    times: float = 1.0
    more_ms: float = 0.0
    fails: float = 0.0
    share: float = 1.0
    """Of the traffic, relative to the others."""


@dataclass
class Fleet:
    """A service that is called by one other; its instances share the requests."""

    instances: list[Instance]
    chance: np.random.Generator
    service: str = "cart"
    times: float = field(default=1.0)
    """How many times as long everything takes now."""
    fails: float = 0.0
    """Share of requests that fail now, whichever instance has them."""

    def pane(self, number: int, rate_per_s: float) -> ServiceHealth:
        """Return a pane with about so many requests."""
        requests = int(self.chance.poisson(rate_per_s * 10))
        share = np.array([one.share for one in self.instances])
        at = self.chance.choice(len(self.instances), requests, p=share / share.sum())
        took_ms = self.chance.lognormal(np.log(MEDIAN_MS * self.times), SPREAD, requests)
        took_ms = took_ms * np.array([one.times for one in self.instances])[at]
        took_ms = took_ms + np.array([one.more_ms for one in self.instances])[at]
        failed = self._failed(np.array([max(one.fails, self.fails) for one in self.instances])[at])
        return _picture(self.service, number, took_ms, failed, at, [one.name for one in self.instances])

    def _failed(self, share: Floats) -> NDArray[np.bool_]:
        """Return which requests fail; no dice are thrown where all or none do."""
        is_sure = bool(np.all((share <= 0) | (share >= 1)))
        return share > 0 if is_sure else self.chance.random(len(share)) < share


def _picture(
    service: str, number: int, took_ms: Floats, failed: NDArray[np.bool_], at: NDArray[np.int64], names: Sequence[str]
) -> ServiceHealth:  # fmt: skip
    requests = len(took_ms)
    made = health(service, number, requests, errors=int(failed.sum()), edges=[edge("front", requests)])
    p50_ms, p95_ms = (quantile_ms(_bins(took_ms, 1), q) for q in (0.5, 0.95))
    told = {"p50_ms": p50_ms, "p95_ms": p95_ms, "self_p50_ms": p50_ms, "self_p95_ms": p95_ms}
    stats = made.pane.model_copy(update=told)
    counted = [
        InstanceHealth(
            instance=name, requests=int((at == place).sum()), errors=int(failed[at == place].sum()),
            durations=_bins(took_ms[at == place], 4),
        )
        for place, name in enumerate(names)
    ]  # fmt: skip
    heard = sorted((one for one in counted if one.requests), key=lambda one: (-one.requests, one.instance))
    operations = [one.model_copy(update={"pane": stats}) for one in made.operations]
    return made.model_copy(
        update={"pane": stats, "operations": operations, "instances": heard[:MAX_INSTANCES]}
    )  # fmt: skip


def _bins(took_ms: Floats, width: int) -> Bins:
    """Return the sketch of some latencies, in bins so many times as wide as usual, each named by its middle."""
    found = bin_of((took_ms * 1e6).astype(np.int64)) // width * width + width // 2
    places, counts = np.unique(found, return_counts=True)
    return dict(zip(places.tolist(), counts.tolist(), strict=True))
