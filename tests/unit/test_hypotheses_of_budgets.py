"""Incidents of a budget alone: nothing deviates from its past, and somebody is suspected all the same."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import Passage
from schemas.incidents import HypothesisSet
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.slo import LATENCY
from tests.made_health import deviations, pane_start, score
from tests.unit.test_hypotheses import incident


def burning(name: str | None = None, burn: float = 16.0) -> SeriesScore:
    """Return a budget that burns so many times too fast."""
    made = score(SeriesKind.BURN_RATE, 0, value=burn, median=1.0, strength=burn - 1.0)
    return made.model_copy(update={"name": name, "unit": "x"})


def service(
    name: str, series: Sequence[SeriesScore] = (), *, failing: int = 0, origins: int = 0, callers: Sequence[str] = ()
) -> ServiceDeviations:
    """Return a pane in which so many of fifty traces through a service failed, and failed first in it."""
    passage = Passage(entry="front", traces=50, failing=failing, origins=origins, durations={300: 50})
    made = deviations(name, 0, series, callers=callers, entry=name == "front")
    return made.model_copy(update={"passages": [passage]})


def ranked(pane: Sequence[ServiceDeviations], of: Sequence[str]) -> HypothesisSet:
    """Rank an incident of some services after half an hour that looked like this pane."""
    picture = TenantPicture("acme")
    for number in range(-60, 6):
        for one in pane:
            picture.step(one.model_copy(update={"pane_start_ns": pane_start(number)}))
    return rank(snapshot_of(picture, incident(of=of, kind=SeriesKind.BURN_RATE), [], pane_start(6), 1))


def names(ranking: HypothesisSet) -> list[str]:
    """Return the services in order."""
    return [one.service for one in ranking.hypotheses]


def test_who_burns_a_budget_of_slow_requests_is_suspected_before_its_callers() -> None:
    """The callee is slow all day, and so is who calls it; nothing is as sure as a deviation would make it."""
    found = ranked([service("front", [burning(LATENCY)]), service("till", [burning(LATENCY)], callers=["front"])],
                   ["front", "till"])  # fmt: skip
    assert names(found) == ["till", "front"]
    first = found.hypotheses[0]
    assert [(part.name, part.value) for part in first.parts] == [("budget", 0.5), ("distance", 0.5)]
    assert first.title == "till fails or is slow all the time"
    assert first.confidence < 0.2
    query = first.evidence[0].query
    assert query.startswith("/api/v1/services/till/budget?start=")
    assert query.endswith("&indicator=latency")


def test_failing_requests_lead_from_the_budget_to_where_they_fail_first() -> None:
    """A tenth of all requests fails all day, below the service with the budget, in one without an objective."""
    pane = [
        service("front", [burning()], failing=5),
        service("stock", failing=0, callers=["front"]),
        service("till", failing=5, origins=5, callers=["front"]),
    ]
    found = ranked(pane, ["front"])
    assert names(found) == ["till", "front"]
    assert found.hypotheses[0].parts[0].why == "40 of 40 failing traces through it fail first in it"


def test_a_budget_accuses_nobody_where_something_deviates() -> None:
    """What is known to have changed is the better word; budgets go on burning long after."""
    slow = score(SeriesKind.SELF_TIME, 0, strength=100.0)
    found = ranked([service("front", [burning()], failing=5, origins=5), service("till", [slow], callers=["front"])],
                   ["front", "till"])  # fmt: skip
    assert names(found) == ["till"]


def test_a_budget_of_another_incident_accuses_nobody() -> None:
    """It burns beside an incident that has nothing to do with it."""
    found = ranked([service("front", [burning()]), service("till", callers=["front"])], ["till"])
    assert not found.hypotheses
