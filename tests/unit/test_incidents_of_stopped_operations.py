"""An operation that is no longer called: an incident that names it, unless something else says why."""

from __future__ import annotations

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.incidents import Severity
from streams.incidents import IncidentFold
from tests.incident_runs import first_hypothesis, opened_by
from tests.made_health import deviations, pane_start, score


def uncalled(operation: str = "GET /checkout", *, value: float = 0.0, usual: float = 2.0) -> SeriesScore:
    """Return an operation that gets fewer calls than usual; a rare one is few standard deviations off."""
    made = score(SeriesKind.REQUEST_RATE, 0, value=value, median=usual, strength=-1.4)
    return made.model_copy(update={"operation": operation, "requests": round(10 * usual)})


def pane(number: int, *cart: SeriesScore, front: tuple[SeriesScore, ...] = ()) -> list[ServiceDeviations]:
    """Return a pane of a front and the cart that it calls."""
    rate = score(SeriesKind.REQUEST_RATE, 0, value=20, median=20, strength=0, deviating=False)
    return [
        deviations("front", number, [rate, *front], requests=200, entry=True),
        deviations("cart", number, [rate, *cart], requests=180, callers=["front"]),
    ]


def test_an_operation_that_is_no_longer_called_is_an_incident_that_names_it() -> None:
    """As severe as its share of what would have come."""
    [event] = opened_by(pane(0, uncalled()))
    assert event.title == "cart: GET /checkout no longer called (normally 2/s)"
    assert [one.service for one in event.services] == ["cart"]
    assert event.severity is Severity.MEDIUM
    assert 0.08 < event.impact.share <= 0.1
    found = first_hypothesis(pane(0, uncalled()))
    assert (found.service, found.operation) == ("cart", "GET /checkout")
    assert found.title == "GET /checkout of cart is no longer called"
    said = next(one for one in found.evidence if "GROUP BY name" in one.query)
    assert said.summary == "cart: GET /checkout no longer called (normally 2/s)"


def test_the_calls_that_a_caller_gets_no_more_are_told_at_the_caller() -> None:
    """Who is not called calls nobody."""
    [event] = opened_by(pane(0, uncalled(), front=(uncalled("GET /shop"),)))
    assert event.title.startswith("front: GET /shop no longer called")
    assert first_hypothesis(pane(0, uncalled(), front=(uncalled("GET /shop"),))).service == "front"


def test_operations_are_missed_only_where_nothing_fails_or_is_slow() -> None:
    """Users who cannot log in do not check out."""
    fails = score(SeriesKind.ERROR_RATE, 0, value=1.0, median=0.0).model_copy(update={"unit": "ratio"})
    [event] = opened_by(pane(0, uncalled(), front=(fails,)))
    assert event.title.startswith("front: error rate")


def test_an_operation_that_is_called_less_is_no_incident() -> None:
    """Users change their minds; a stop leaves less than a tenth."""
    assert not opened_by(pane(0, uncalled(value=0.5)))
    assert opened_by(pane(0, uncalled(value=0.1)))


def test_what_stopped_before_a_hole_in_the_telemetry_is_not_missed() -> None:
    """Nothing was heard, of anybody."""
    fold = IncidentFold("acme")
    hole = [one.model_copy(update={"requests": 0, "series": [], "driven": True}) for one in pane(0)]
    assert not fold.step_pane(pane_start(0), hole, pane_start(3))
    assert not fold.step_pane(pane_start(1), pane(1, uncalled()), pane_start(4))
    later = uncalled().model_copy(update={"since_ns": pane_start(2)})
    assert fold.step_pane(pane_start(2), pane(2, later), pane_start(5))


def test_operations_are_not_missed_while_most_of_the_traffic_is_gone() -> None:
    """Nobody comes by them."""
    gone = score(SeriesKind.REQUEST_RATE, 0, value=1, median=20, strength=-9, deviating=False)
    seen = [
        deviations("front", 0, [gone], requests=10, entry=True),
        deviations("cart", 0, [gone, uncalled()], requests=9, callers=["front"]),
    ]
    assert not opened_by(seen)


def test_the_rate_of_an_operation_is_not_that_of_its_service() -> None:
    """Neither a surge nor a stop of it all is read from one."""
    seen = pane(0, uncalled(), uncalled("GET /list", value=40.0, usual=1.0).model_copy(update={"score": 40.0}))
    assert first_hypothesis(seen).suspect_kind != "load"
