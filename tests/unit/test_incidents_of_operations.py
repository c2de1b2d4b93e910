"""Failures of one operation: an incident of its service that names it, and a suspect whose operation is known."""

from __future__ import annotations

from collections.abc import Iterable

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.incidents import Hypothesis, IncidentEvent, Severity
from schemas.snapshots import RankingSnapshot
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.incidents import IncidentFold
from tests.made_health import deviations, pane_start, score

PANES = 3


def failing(operation: str | None, requests: int, value: float = 1.0, normal: float = 0.0) -> SeriesScore:
    """Return failed requests of an operation, or of the service, that deviate since the first pane."""
    made = score(SeriesKind.ERROR_RATE, 0, value=value, median=normal, strength=(value - normal) / 0.01)
    return made.model_copy(update={"operation": operation, "requests": requests, "unit": "ratio"})


def slow(operation: str | None, requests: int, strength: float) -> SeriesScore:
    """Return own time of an operation, or of the service; it deviates when it is strong."""
    made = score(SeriesKind.SELF_TIME, 0, value=5 + 2 * strength, median=5.0, strength=strength)
    return made.model_copy(
        update={"operation": operation, "requests": requests, "deviating": strength > 10}
        | ({} if strength > 10 else {"since_ns": None, "evidence": 0.0})
    )


def front(errors: int = 0, *series: SeriesScore) -> ServiceDeviations:
    """Return the service where users come in."""
    return deviations("front", 0, series, requests=200, errors=errors, entry=True)


def cart(*series: SeriesScore, errors: int = 0) -> ServiceDeviations:
    """Return the service that it calls."""
    return deviations("cart", 0, series, requests=200, errors=errors, callers=["front"])


def opened(pane: Iterable[ServiceDeviations]) -> list[IncidentEvent]:
    """Return the incidents that this pane opens."""
    events = IncidentFold("acme").step_pane(pane_start(0), list(pane), pane_start(3))
    return [event for event in events if event.kind == "opened"]


def snapshot(*pane: ServiceDeviations) -> RankingSnapshot:
    """Return what the ranking of the one incident sees after some panes like this one."""
    [event], picture = opened(pane), TenantPicture("acme")
    for number in range(PANES):
        for one in pane:
            picture.step(one.model_copy(update={"pane_start_ns": pane_start(number)}))
    return snapshot_of(picture, event, [], pane_start(PANES), 1)


def first(*pane: ServiceDeviations) -> Hypothesis:
    """Return its first hypothesis."""
    return rank(snapshot(*pane)).hypotheses[0]


def test_an_incident_of_one_operation_is_as_severe_as_its_requests() -> None:
    """Four of two hundred requests; all of them go through its service."""
    [event] = opened([front(), cart(failing("POST /pay", 4), errors=4)])
    assert event.title == "cart: 100 % of the requests POST /pay fail (normally 0 %)"
    assert event.severity is Severity.LOW
    assert event.impact.share == 0.02


def test_what_else_is_wrong_with_the_service_hits_more_of_its_requests() -> None:
    """Its failures as a whole those that fail, its own time all."""
    for other, share in ((failing(None, 200, 0.3), 0.3), (score(SeriesKind.SELF_TIME, 0), 1.0)):
        [event] = opened([front(), cart(failing("POST /pay", 4), other, errors=60)])
        assert event.impact.share == share


def test_an_operation_that_fails_as_its_callee_does_is_a_symptom() -> None:
    """The incident begins where it fails first."""
    [event] = opened([front(4, failing("GET /checkout", 8, 0.5)), cart(failing("POST /pay", 4), errors=4)])
    assert [(one.service, one.reason.split("; ")[-1]) for one in event.services] == [
        ("cart", event.title),
        ("front", "it calls cart, which deviates itself"),
    ]


def test_the_service_is_told_where_its_operations_fail_alike() -> None:
    """The one of them that fails most is not the matter; one that fails twice as often is."""
    most, whole = failing("POST /pay", 40, 0.9), failing(None, 200, 0.8)
    [event] = opened([front(), cart(most, whole, errors=160)])
    assert event.title.startswith("cart: error rate 80 %")
    [event] = opened([front(), cart(most, whole.model_copy(update={"value": 0.3, "score": 30.0}), errors=60)])
    assert event.title.startswith("cart: 90 % of the requests POST /pay fail")


def test_the_operation_that_has_the_failures_is_named_with_the_question_that_counts_them() -> None:
    """Also where others fail by habit, as they did."""
    found = first(front(), cart(failing("POST /pay", 10), failing(None, 200, 0.14, 0.1), errors=29))
    assert (found.service, found.operation) == ("cart", "POST /pay")
    assert found.title == "cart fails requests by itself, at POST /pay"
    [said] = [one for one in found.evidence if one.series is not None and one.series.operation == "POST /pay"]
    assert said.summary == "cart: 100 % of the requests POST /pay fail (normally 0 %)"
    assert "GROUP BY name" in said.query
    assert "service = 'cart'" in said.query
    own = next(part for part in found.parts if part.name == "own_errors")
    assert own.why == "87 of 600 requests failed, 30 of POST /pay, 0 of them in a callee"


def test_an_operation_that_fails_began_first_and_explains_what_its_caller_logs() -> None:
    """Series of the whole service say neither."""
    logs = score(SeriesKind.LOG_ERRORS, 0, value=0.3, median=0.0, strength=30.0).model_copy(update={"unit": "ratio"})
    ranking = rank(snapshot(front(0, logs), cart(failing("POST /pay", 4), errors=4)))
    values = {(one.service, part.name): part.value for one in ranking.hypotheses for part in one.parts}
    assert values["cart", "first"] == 1.0
    assert values["front", "log_errors"] < 0.4, "1.1 where nothing below fails"


def test_no_operation_is_named_where_they_fail_alike() -> None:
    """Each has its share of the failures, and of what is well."""
    for requests in (100, 180):
        half = [failing("GET /", requests, 0.5), failing("POST /pay", 200 - requests, 0.5)]
        found = first(front(), cart(*half, failing(None, 200, 0.5), errors=100))
        assert (found.service, found.operation) == ("cart", None)


def test_a_slow_operation_is_named_where_the_others_are_not() -> None:
    """And not where they are."""
    found = first(front(), cart(slow("GET /", 190, 0.0), slow("POST /pay", 10, 200.0), slow(None, 200, 9.0)))
    assert (found.service, found.operation) == ("cart", "POST /pay")
    assert found.title == "cart itself is slow, at POST /pay"
    assert next(part.why for part in found.parts if part.name == "self_time").startswith("own time of POST /pay up to")
    found = first(front(), cart(slow("GET /", 190, 150.0), slow("POST /pay", 10, 200.0), slow(None, 200, 150.0)))
    assert (found.service, found.operation) == ("cart", None)


def test_a_little_slower_is_enough_to_name_an_operation_of_few_requests() -> None:
    """Had the others changed, they had told it first; one that has most requests may tell what all of them do."""
    for requests, named in ((10, "POST /pay"), (190, None)):
        a_little = slow("POST /pay", requests, 20.0).model_copy(update={"score": 8.0, "value": 21.0})
        found = first(front(), cart(slow("GET /", 200 - requests, 0.0), a_little, slow(None, 200, 2.0)))
        assert (found.service, found.operation) == ("cart", named)


def test_a_suspect_whose_connection_is_slow_has_no_operation_in_its_title() -> None:
    """The suspicion says nothing of what the service does with a request."""
    gap = score(SeriesKind.GAP, 0, value=4000.0, client="front", strength=1900.0)
    found = first(front(), cart(gap, failing("POST /pay", 40, 0.5), errors=20))
    assert found.operation == "POST /pay"
    assert found.title == "the connection from front to cart is slow"


def test_a_stored_snapshot_gives_the_same_ranking_and_one_of_before_can_be_read() -> None:
    """It has no counts of series: then no operation is named by them."""
    made = snapshot(front(), cart(failing("POST /pay", 4), errors=4))
    assert rank(RankingSnapshot.model_validate_json(made.model_dump_json())) == rank(made)
    old = made.model_dump(mode="json")
    for node in old["nodes"]:
        for one in node["series"]:
            del one["requests"], one["hits"]
    assert rank(RankingSnapshot.model_validate(old)).hypotheses[0].service == "cart"
