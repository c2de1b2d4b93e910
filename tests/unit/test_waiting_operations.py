"""Operations that wait longer: told by their own series, and whose fault it is."""

from __future__ import annotations

import pytest

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import NodeKind, OperationHealth
from streams.baselines import BaselineFold, BaselineState
from tests.incident_runs import first_hypothesis, opened_by
from tests.made_health import deviations, health, red, score

CALM = 60
NORMAL_MS, SLOW_MS = 50.0, 250.0


class Service:
    """A service of two operations, one request in many pays; judged pane by pane."""

    def __init__(self) -> None:
        self._fold, self._memory, self._pane = BaselineFold(), BaselineState(), -1

    def see(self, pays_ms: float, lists_ms: float = NORMAL_MS, pays: int = 1) -> list[SeriesScore]:
        """Take a pane; return the series of operations' times."""
        self._pane += 1
        listed = [
            OperationHealth(operation=name, kind="server", pane=red(n, p95_ms=ms), window=red(6 * n))
            for name, n, ms in (("GET /list", 199, lists_ms), ("POST /pay", pays, pays_ms))
        ]
        picture = health("cart", self._pane, 199 + pays).model_copy(update={"operations": listed})
        told, _ = self._fold.advance(self._memory, picture)
        return [one for one in (told.series if told else []) if one.kind is SeriesKind.P95 and one.operation]


def test_one_request_in_two_hundred_that_waits_five_times_as_long_is_an_alarm_of_its_operation() -> None:
    """Of the service's percentiles nothing moves."""
    service = Service()
    assert not any(service.see(NORMAL_MS) for _ in range(CALM)), "nothing is told of operations that wait no longer"
    seen = [service.see(SLOW_MS) for _ in range(12)]
    alarms = [number for number, told in enumerate(seen) if any(one.deviating for one in told)]
    assert alarms[0] <= 6
    assert {one.operation for told in seen for one in told} == {"POST /pay"}


def test_an_alarm_of_an_operations_time_takes_three_panes_at_least() -> None:
    """However many requests say so: there are as many sums as operations."""
    service = Service()
    for _ in range(CALM):
        service.see(NORMAL_MS, pays=100)
    seen = [service.see(100 * NORMAL_MS, pays=100) for _ in range(4)]
    assert [any(one.deviating for one in told) for told in seen] == [False, False, True, True]


def test_an_operation_that_waits_for_nobody_has_no_second_series() -> None:
    """Its time is its own time, which is judged."""
    fold, memory = BaselineFold(), BaselineState()
    leaf = red(50, p95_ms=10.0).model_copy(update={"self_p50_ms": 5.0, "self_p95_ms": 10.0})
    listed = [OperationHealth(operation=name, kind="server", pane=leaf, window=leaf) for name in ("a", "b")]
    for pane in range(3):
        fold.advance(memory, health("cart", pane).model_copy(update={"operations": listed}))
    assert {name.split("\x1f")[0] for name in memory.history.levels.rows if name.split("\x1f")[2]} == {"self_time"}


def wait(operation: str = "POST /pay", requests: int = 10) -> SeriesScore:
    """Return an operation that waits."""
    made = score(SeriesKind.P95, 0, value=250.0, median=50.0, strength=40.0)
    return made.model_copy(update={"operation": operation, "requests": requests})


def pane(
    *cart: SeriesScore, callee: tuple[SeriesScore, ...] = (), kind: NodeKind = NodeKind.SERVICE, calls: int = 200
) -> list[ServiceDeviations]:
    """Return a pane of a front that calls cart, which calls somebody so often."""
    return [
        deviations("front", 0, requests=200, entry=True),
        deviations("cart", 0, cart, requests=200, callers=["front"]),
        deviations("below", 0, callee, requests=calls, callers=["cart"], kind=kind),
    ]


def causes(seen: list[ServiceDeviations]) -> set[str]:
    """Return who does not only suffer from somebody in the one incident."""
    [event] = opened_by(seen)
    return {one.service for one in event.services if "which deviates itself" not in one.reason}


def test_an_operation_that_waits_while_nothing_below_deviates_is_an_incident_that_names_it() -> None:
    """As severe as its requests."""
    [event] = opened_by(pane(wait()))
    assert event.title == "cart: requests POST /pay take 250 ms (normally 50 ms)"
    assert event.impact.share == 0.05
    found = first_hypothesis(pane(wait()))
    assert (found.service, found.operation) == ("cart", "POST /pay")
    assert found.title == "cart itself is slow, at POST /pay"
    assert found.parts[0].why.startswith("requests POST /pay, which no callee explains, up to 250 ms")
    assert any(one.series is not None and one.series.operation == "POST /pay" for one in found.evidence)


@pytest.mark.parametrize("kind", [SeriesKind.SELF_TIME, SeriesKind.GAP, SeriesKind.P95, SeriesKind.ERROR_RATE])
def test_an_operation_that_waits_for_a_callee_in_trouble_opens_nothing(kind: SeriesKind) -> None:
    """The callee does, when it is sure; half an alarm excuses already."""
    half = score(kind, 0).model_copy(update={"deviating": False, "evidence": 0.4, "since_ns": None})
    assert not opened_by(pane(wait(), callee=(half,)))
    assert opened_by(pane(wait(), callee=(half.model_copy(update={"evidence": 0.1}),)))


def test_a_database_that_others_use_as_well_does_not_excuse_one_operation() -> None:
    """They would wait, too. One that only this operation calls is asked first."""
    slow = score(SeriesKind.EDGE_LATENCY, 0, client="cart")
    assert causes(pane(wait(requests=10), callee=(slow,), kind=NodeKind.DATABASE, calls=200)) == {"below", "cart"}
    assert causes(pane(wait(requests=10), callee=(slow,), kind=NodeKind.DATABASE, calls=10)) == {"below"}
    weak = score(SeriesKind.EDGE_LATENCY, 0, client="cart", strength=6.0)
    found = first_hypothesis(pane(wait(requests=10), callee=(weak,), kind=NodeKind.DATABASE, calls=200))
    assert (found.service, found.operation) == ("cart", "POST /pay")
    assert (
        first_hypothesis(pane(wait(requests=10), callee=(slow,), kind=NodeKind.DATABASE, calls=10)).service == "below"
    )


def test_a_service_most_of_which_waits_or_whose_own_time_says_it_is_not_told_by_its_waits() -> None:
    """Then it is no matter of one operation, or told already."""
    assert not opened_by(pane(wait(requests=90), wait("GET /list", requests=60)))
    own = score(SeriesKind.SELF_TIME, 0).model_copy(update={"operation": "POST /pay", "requests": 10})
    half = own.model_copy(update={"deviating": False, "evidence": 0.4, "since_ns": None})
    assert not opened_by(pane(wait(), half)), "its own time will be told"
    [event] = opened_by(pane(wait(), own))
    assert event.title.startswith("cart: own time of POST /pay")
