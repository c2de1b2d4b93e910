"""The 95th percentile of few requests is their slowest one: what it may be held against."""

from __future__ import annotations

import numpy as np

from schemas.deviations import SeriesKind
from schemas.health import ServiceHealth
from streams.baselines import BaselineFold
from streams.latency import bin_of, quantile_ms
from tests.made_health import health, pane_start

CALM = 60


def tailed(pane: int, requests: int, chance: np.random.Generator, slower: float = 1.0) -> ServiceHealth:
    """Return a pane of a service of which one request in twelve takes three seconds, the others 40 ms."""
    took_ms = np.where(chance.random(requests) < 1 / 12, 3_000.0, 40.0) * chance.lognormal(0.0, 0.3, requests) * slower
    places, counts = np.unique(bin_of((took_ms * 1e6).astype(np.int64)), return_counts=True)
    bins = dict(zip(places.tolist(), counts.tolist(), strict=True))
    own = {"self_p50_ms": quantile_ms(bins, 0.5), "self_p95_ms": quantile_ms(bins, 0.95)}
    made = health("cart", pane, requests)
    [operation] = made.operations
    stats = operation.pane.model_copy(update=own)
    return made.model_copy(update={"operations": [operation.model_copy(update={"pane": stats})]})


def alarms(seed: int, later: int, slower: float = 1.0) -> bool:
    """Tell whether own time begins to deviate within ten minutes after four requests a pane became `later`."""
    chance, fold, state = np.random.default_rng(seed), BaselineFold(), None
    deviates = False
    for pane in range(2 * CALM):
        is_later = pane >= CALM
        requests = later if is_later else 4
        state, found = fold.step(state, tailed(pane, requests, chance, slower if is_later else 1.0))
        own = [] if found is None else [one for one in found.series if one.kind is SeriesKind.SELF_TIME]
        deviates |= any(one.deviating and (one.since_ns or 0) >= pane_start(CALM) for one in own)
    return deviates


def test_more_traffic_alone_makes_no_tail_an_alarm() -> None:
    """Four requests seldom have a slow one among them, two hundred always do."""
    assert sum(alarms(seed, later=200) for seed in range(8)) == 0


def test_a_service_that_gets_slow_with_more_traffic_is_an_alarm() -> None:
    """Its median says so, whatever is known of the tail."""
    assert all(alarms(seed, later=200, slower=10.0) for seed in range(4))
