"""One slow instance of many: an incident of its service that names it, as severe as the requests it has."""

from __future__ import annotations

from collections.abc import Iterable

import msgpack
import numpy as np
import pytest

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import InstanceHealth
from schemas.incidents import IncidentEvent, Severity
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.hypotheses.budgets import burn_of
from streams.hypotheses.findings import findings_of
from streams.hypotheses.nodes import Node
from streams.hypotheses.replicas import Replicas
from streams.incidents import IncidentFold
from streams.judging import JudgeFold, JudgeMemory
from tests.incident_runs import first_incident
from tests.made_fleet import Fleet, Instance
from tests.made_health import deviations, health, pane_start, score


def slow(instance: str, pane: int, requests: int = 5, *, is_now: bool = True) -> SeriesScore:
    """Return an instance that is told since a pane; `is_now`: its requests of this very pane are slow."""
    made = score(SeriesKind.INSTANCE_SLOW, pane, value=0.96, median=0.04, strength=9.0 if is_now else -1.0)
    return made.model_copy(
        update={"instance": instance, "limit_ms": 210.0, "unit": "ratio", "requests": requests}
    )  # fmt: skip


def opened(*panes: Iterable[ServiceDeviations]) -> list[IncidentEvent]:
    """Return the incidents that these panes open."""
    fold = IncidentFold("acme")
    told = [fold.step_pane(pane_start(n), list(pane), pane_start(n + 3)) for n, pane in enumerate(panes)]
    return [event for events in told for event in events if event.kind == "opened"]


def front() -> ServiceDeviations:
    """Return the calm service where users come in."""
    return deviations("front", 0, requests=200, entry=True)


def test_the_reason_names_the_instance_and_what_its_siblings_do() -> None:
    """So does the title."""
    [event] = opened([front(), deviations("cart", 0, [slow("api-7", 0)], callers=["front"])])
    said = "cart: 96 % of the requests at instance api-7 slower than 210 ms, its siblings' 4 %"
    assert event.services[0].reason == said
    assert event.title == said


def test_an_incident_of_one_instance_is_as_severe_as_its_requests() -> None:
    """Five of two hundred requests go through it; all of them go through its service."""
    [event] = opened([front(), deviations("cart", 0, [slow("api-7", 0)], requests=200, callers=["front"])])
    assert event.severity is Severity.LOW
    assert event.impact.share == 0.025


def test_an_instance_that_is_not_slow_in_this_pane_opens_nothing() -> None:
    """Its evidence is old: perhaps it has recovered."""
    assert not opened([front(), deviations("cart", 0, [slow("api-7", 0, is_now=False)], callers=["front"])])


def test_a_share_that_is_not_most_of_the_requests_opens_an_incident_too() -> None:
    """The evidence is of many panes; of this one's two requests one is slow."""
    some = slow("api-7", 0, 2).model_copy(update={"value": 0.4, "score": 1.5})
    assert len(opened([front(), deviations("cart", 0, [some], callers=["front"])])) == 1


def test_of_two_slow_instances_the_slower_one_is_the_evidence() -> None:
    """Whichever has the pane with the highest score, and whatever their names."""
    less = slow("api-9", 0).model_copy(update={"value": 0.5, "score": 30.0})
    cart = deviations("cart", 0, [slow("api-7", 0).model_copy(update={"score": 2.0}), less], callers=["front"])
    [event] = opened([front(), cart])
    picture = TenantPicture("acme")
    for one in (front(), cart):
        picture.step(one)
    first = rank(snapshot_of(picture, event, [], pane_start(1), 1)).hypotheses[0]
    assert [one.series.instance for one in first.evidence if one.series is not None] == ["api-7"]


def test_a_ranking_looks_at_as_many_instances_as_a_pane_counts() -> None:
    """The one with fewest requests of fifty may be the bad one."""
    replicas = Replicas()
    replicas.see(InstanceHealth(instance=f"i{number}", requests=100 - number, errors=0) for number in range(50))
    assert "i49" in {one.instance for one in replicas.findings()}


def test_an_instance_that_waits_for_a_slow_instance_is_a_symptom() -> None:
    """Each instance of cart calls one of stock: the incident begins at stock, and cart belongs to it."""
    cart = deviations("cart", 0, [slow("cart-7", 0)], callers=["front"])
    stock = deviations("stock", 0, [slow("stock-7", 0)], callers=["cart"])
    [event] = opened([front(), cart, stock])
    assert [(one.service, one.reason.split(";")[-1]) for one in event.services] == [
        ("stock", event.title),
        ("cart", " it calls stock, which deviates itself"),
    ]


def test_series_of_two_instances_are_two_series_wherever_records_are_merged() -> None:
    """Baselines and budgets tell of a service in two records, and revisions come."""
    both = deviations("cart", 0, [slow("api-7", 0, 5), slow("api-9", 0, 6)], requests=200, callers=["front"])
    budget = deviations("cart", 0, [], requests=200, callers=["front"])
    [event] = opened([front(), both, budget])
    assert event.impact.share == 11 / 200
    picture = TenantPicture("acme")
    for one in (both, budget):
        picture.step(one)
    [(_, pane)] = picture.between(0, pane_start(1))
    assert {one.instance for one in pane["cart"].series} == {"api-7", "api-9"}


def test_the_budgets_of_failed_and_of_slow_requests_are_two_series_too() -> None:
    """A latency objective in which little burns hid the availability that burns."""
    failed = score(SeriesKind.BURN_RATE, 0, value=20.0)
    late = failed.model_copy(update={"name": "latency", "value": 0.1, "deviating": False, "evidence": 0.0})
    budgets = deviations("cart", 0, [failed, late], callers=["front"])
    assert len(opened([front(), deviations("cart", 0, [], callers=["front"]), budgets])) == 1
    picture = TenantPicture("acme")
    for one in (deviations("cart", 0, []), budgets):
        picture.step(one)
    [(_, pane)] = picture.between(0, pane_start(1))
    assert [one.name for one in pane["cart"].series] == [None, "latency"]


def test_of_two_budgets_the_one_that_burns_too_fast_is_blamed() -> None:
    """Also where the other one is spent faster for now, which no rule minds yet."""
    failed = score(SeriesKind.BURN_RATE, 0, value=3.0, strength=2.0)
    late = failed.model_copy(update={"name": "latency", "score": 30.0, "evidence": 0.7, "deviating": False})
    [cart] = findings_of([], [(0, {"cart": deviations("cart", 0, [failed, late])})])
    burn = burn_of(Node.of(cart))
    assert burn is not None
    assert burn.peak.name is None


def test_one_slow_replica_of_forty_opens_an_incident_whose_first_suspect_is_it() -> None:
    """Above the 95th percentile nothing moves; the ranking brings the numbers and the question behind them."""

    def spoil(fleet: Fleet) -> None:
        fleet.instances[7].more_ms = 300.0

    fleet = Fleet([Instance(f"cart-{number}") for number in range(40)], np.random.default_rng(3))
    event, first = first_incident(fleet, 200, 12, spoil)
    assert (event.severity, first.service, first.instance) == (Severity.LOW, "cart", "cart-7")
    said = [one.summary for one in first.evidence]
    assert any("100 % of the requests at instance cart-7 slower than" in one for one in said)
    assert any("FROM spans" in one.query for one in first.evidence)


@pytest.mark.parametrize("parts", [2, 3])
def test_a_state_of_older_workers_is_read_on(parts: int) -> None:
    """From before instances were compared, and from before versions were followed: parts as they were written."""
    fold, state = JudgeFold(), None
    for pane in range(30):
        state, _ = fold.step(state, health("cart", pane))
    written = msgpack.unpackb(state)
    assert written[2:] == [b"", b""]
    old = JudgeMemory.decode(msgpack.packb(written[:parts]))
    assert old.encode() == state
