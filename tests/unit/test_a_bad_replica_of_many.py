"""One of twenty replicas fails or is slow: an incident of the service, which names it (docs/adr/0024)."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from schemas.health import InstanceHealth, ServiceHealth
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.incidents import IncidentFold
from streams.judging import JudgeFold, JudgeMemory
from streams.latency import Bins, bin_of, quantile_ms
from tests.made_health import PANE_NS, edge, health, pane_start

REPLICAS, CALM, RATE = 20, 60, 100
Floats = NDArray[np.float64]


def bins_of(took_ms: Floats) -> Bins:
    """Return the sketch of some latencies."""
    places, counts = np.unique(bin_of((took_ms * 1e6).astype(np.int64)), return_counts=True)
    return dict(zip(places.tolist(), counts.tolist(), strict=True))


def cart(pane: int, chance: np.random.Generator, fails: bool, slower_ms: float) -> ServiceHealth:
    """Return a pane of requests that twenty replicas share, of which number 7 may be bad."""
    requests = int(chance.poisson(RATE))
    replica, took_ms = chance.integers(0, REPLICAS, requests), chance.lognormal(np.log(40.0), 0.5, requests)
    took_ms = took_ms + np.where(replica == 7, slower_ms, 0.0)
    failed = (replica == 7) & fails
    made = health("cart", pane, requests, errors=int(failed.sum()), edges=[edge("front", requests)])
    p50_ms, p95_ms = (quantile_ms(bins_of(took_ms), q) for q in (0.5, 0.95))
    told = {"p50_ms": p50_ms, "p95_ms": p95_ms, "self_p50_ms": p50_ms, "self_p95_ms": p95_ms}
    stats, [operation] = made.pane.model_copy(update=told), made.operations
    instances = [
        InstanceHealth(
            instance=f"cart-{number}", requests=int((replica == number).sum()),
            errors=int(failed[replica == number].sum()), durations=bins_of(took_ms[replica == number]),
        )
        for number in range(REPLICAS)
    ]  # fmt: skip
    operations = [operation.model_copy(update={"pane": stats})]
    return made.model_copy(update={"pane": stats, "operations": operations, "instances": instances})


@pytest.mark.parametrize(("fails", "slower_ms", "within_panes"), [(True, 0.0, 4), (False, 300.0, 15)])
def test_one_bad_replica_of_twenty_opens_an_incident_and_is_named(
    fails: bool, slower_ms: float, within_panes: int
) -> None:  # fmt: skip
    """Five requests in a hundred are bad: the 95th percentile of the service is just where they begin."""
    chance, fold, incidents = np.random.default_rng(3), JudgeFold(), IncidentFold("acme")
    memories, picture = {"front": JudgeMemory(), "cart": JudgeMemory()}, TenantPicture("acme")
    for pane in range(CALM + within_panes):
        is_bad = pane >= CALM
        front = health("front", pane, RATE, edges=[edge("users", RATE, kind="client")])
        pictures = [front, cart(pane, chance, fails and is_bad, slower_ms if is_bad else 0.0)]
        found = [one for each in pictures if (one := fold.advance(memories[each.service], each)) is not None]
        for one in found:
            picture.step(one)
        told = incidents.step_pane(pane_start(pane), found, pane_start(pane) + 3 * PANE_NS)
        assert is_bad or not told, "nothing is wrong before"
        opened = [event for event in told if event.kind == "opened"]
        if opened:
            first = rank(snapshot_of(picture, opened[0], [], pane_start(pane + 1), 1)).hypotheses[0]
            assert (first.service, first.instance) == ("cart", "cart-7")
            return
    pytest.fail("no incident")
