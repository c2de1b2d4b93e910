"""One failing instance of many: one incident of its service, which names it and does not grow by the same failures."""

from __future__ import annotations

import numpy as np

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.incidents import IncidentEvent, Severity
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.incidents import IncidentFold
from tests.incident_runs import first_incident
from tests.made_fleet import Fleet, Instance
from tests.made_health import deviations, pane_start, score

SAID = "cart: 96 % of the requests at instance api-7 fail, its siblings' 1 %"


def of(kind: SeriesKind, instance: str = "api-7", requests: int = 4, score_now: float = 9.0) -> SeriesScore:
    """Return an instance that is told since the first pane, with so many requests in this one."""
    made = score(kind, 0, value=0.96, median=0.01, strength=score_now)
    return made.model_copy(update={"instance": instance, "limit_ms": 210.0, "unit": "ratio", "requests": requests})


def failing(instance: str = "api-7", requests: int = 4, score_now: float = 9.0) -> SeriesScore:
    """Return an instance whose requests fail."""
    return of(SeriesKind.INSTANCE_ERRORS, instance, requests, score_now)


def error_rate(share: float = 0.02) -> SeriesScore:
    """Return the alarm of a service of whose requests two in a hundred fail."""
    made = score(SeriesKind.ERROR_RATE, 0, value=share, median=0.0, strength=5.0)
    return made.model_copy(update={"unit": "ratio"})


def run(*panes: list[ServiceDeviations]) -> list[IncidentEvent]:
    """Return what these panes tell, with a calm service before them where users come in."""
    fold = IncidentFold("acme")
    told = []
    for number, pane in enumerate(panes):
        front = deviations("front", number, requests=200, entry=True)
        told += fold.step_pane(pane_start(number), [front, *pane], pane_start(number + 3))
    return told


def cart(pane: int, *series: SeriesScore) -> list[ServiceDeviations]:
    """Return a pane of the service behind it."""
    return [deviations("cart", pane, series, requests=200, callers=["front"])]


def test_the_reason_names_the_instance_and_what_its_siblings_do() -> None:
    """So does the title; the incident is as severe as the requests that go through the instance."""
    [event] = run(cart(0, failing()))
    assert (event.title, event.services[0].reason) == (SAID, SAID)
    assert (event.severity, event.impact.share) == (Severity.LOW, 0.02)


def test_an_instance_whose_latest_requests_are_well_opens_nothing() -> None:
    """Its evidence is old."""
    assert run(cart(0, failing(score_now=-1.0))) == []


def test_a_share_that_is_not_most_of_the_requests_opens_an_incident_too() -> None:
    """The evidence is of many panes; of this one's two requests one failed."""
    some = failing(requests=2, score_now=1.5).model_copy(update={"value": 0.4})
    assert len(run(cart(0, some))) == 1


def test_an_instance_that_is_slow_and_fails_is_one_incident_and_its_requests_count_once() -> None:
    """The second kind is told as later news."""
    slow = of(SeriesKind.INSTANCE_SLOW)
    first, second = run(cart(0, failing()), cart(1, failing(), slow))
    assert (first.kind, second.kind, second.incident_id) == ("opened", "updated", first.incident_id)
    assert "later also 96 % of the requests at instance api-7 slower than 210 ms" in second.services[0].reason
    [both] = run(cart(0, failing(), slow))
    assert both.impact.share == 0.02


def test_where_the_service_has_an_incident_of_its_error_rate_the_instance_opens_no_second_one() -> None:
    """It says where the failures are."""
    first, second = run(cart(0, error_rate()), cart(1, error_rate(), failing()))
    assert (first.kind, second.kind, second.incident_id) == ("opened", "updated", first.incident_id)
    assert second.services[0].reason.endswith(
        "s later also 96 % of the requests at instance api-7 fail, its siblings' 1 %"
    )


def test_the_error_rate_of_the_service_says_nothing_that_the_instance_did_not_say() -> None:
    """Neither as news nor as more requests that are hit: it is made of the same failures."""
    [event] = run(cart(0, failing()), cart(1, failing(), error_rate()), cart(2, failing(score_now=0.0), error_rate()))
    assert event.kind == "opened"
    [event] = run(cart(0, failing(), error_rate()))
    assert event.impact.share == 0.02


def test_the_error_rate_is_news_when_it_is_no_longer_the_instance_that_fails() -> None:
    """Half of all fail now, so it is told of none of them; half of the requests of the service are hit."""
    told = run(cart(0, failing()), cart(1, error_rate(0.5)))
    assert [one.kind for one in told] == ["opened", "updated", "severity_changed"]
    assert told[1].services[0].reason.startswith(f"{SAID}; 0 s later also error rate 50 %")


def test_who_calls_a_service_with_a_failing_instance_is_a_symptom_by_its_own_error_rate() -> None:
    """Before the callee's own ratio says anything."""
    stock = deviations("stock", 0, [failing("stock-7")], callers=["cart"])
    [event] = run([*cart(0, error_rate()), stock])
    assert [(one.service, one.reason.split(";")[-1]) for one in event.services] == [
        ("stock", event.title),
        ("cart", " it calls stock, which deviates itself"),
    ]


def test_an_instance_that_is_bound_to_a_failing_one_is_a_symptom_whether_it_fails_or_waits() -> None:
    """Each instance of cart calls one of stock."""
    for kind in (SeriesKind.INSTANCE_ERRORS, SeriesKind.INSTANCE_SLOW):
        stock = deviations("stock", 0, [failing("stock-7")], callers=["cart"])
        [event] = run([*cart(0, of(kind, "cart-7")), stock])
        assert [(one.service, "calls stock" in one.reason) for one in event.services] == [
            ("stock", False),
            ("cart", True),
        ]


def test_a_callee_with_a_slow_instance_excuses_no_failing_one() -> None:
    """Both are causes."""
    stock = deviations("stock", 0, [of(SeriesKind.INSTANCE_SLOW, "stock-7")], callers=["cart"])
    [event] = run([*cart(0, failing("cart-7")), stock])
    assert not any("calls" in one.reason for one in event.services)


def test_the_hypothesis_names_the_instance_by_the_series_where_counts_do_not() -> None:
    """The picture of the pane lists no instances, and another one is slow, but fewer of its requests."""
    slow = of(SeriesKind.INSTANCE_SLOW, "api-9").model_copy(update={"value": 0.4})
    panes = [deviations("front", 0, requests=200, entry=True), *cart(0, failing(), slow)]
    [event] = IncidentFold("acme").step_pane(pane_start(0), panes, pane_start(3))
    picture = TenantPicture("acme")
    for one in panes:
        picture.step(one)
    first = rank(snapshot_of(picture, event, [], pane_start(1), 1)).hypotheses[0]
    assert (first.service, first.instance) == ("cart", "api-7")
    assert SAID in {one.summary for one in first.evidence}
    assert any(part.name == "instances" and part.why == SAID for part in first.parts)


def test_one_failing_replica_of_fifty_opens_an_incident_whose_first_suspect_is_it() -> None:
    """The ratio of the service has hardly moved; the ranking brings the question behind the numbers."""

    def spoil(fleet: Fleet) -> None:
        fleet.instances[7].fails = 0.5

    fleet = Fleet([Instance(f"cart-{number}") for number in range(50)], np.random.default_rng(3))
    event, first = first_incident(fleet, 500, 6, spoil)
    assert (event.severity, first.service, first.instance) == (Severity.LOW, "cart", "cart-7")
    assert "of the requests at instance cart-7 fail, its siblings' 0 %" in event.title
    assert any("FROM spans" in one.query for one in first.evidence)
