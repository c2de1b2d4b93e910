"""Spans in, impact out: who is hit is counted by traces, against what was usual of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import pytest

from schemas.incidents import IncidentEvent, Severity
from schemas.settings import Settings
from schemas.topics import TRACES
from streams.pipeline import LocalPipeline
from streams.windows import SECOND_NS
from tests.made_spans import CLIENT, CONSUMER, INTERNAL, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

CALM_S, FAULT_S = 180, 90


@dataclass(frozen=True)
class Call:
    """What a service does: its own time, then calls one after the other. A failing one has status error."""

    service: str
    own_ms: float
    calls: tuple[Call, ...] = ()
    fails: bool = False
    kind: int = SERVER
    peer: tuple[tuple[str, str], ...] = ()
    tier: str = ""


QUEUE = (("messaging.system", "kafka"), ("messaging.destination.name", "reports"))


class Trace:
    """The spans of one request."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.spans: list[MadeSpan] = []

    def add(self, call: Call, at_ns: int, parent: int = 0) -> int:
        """Add what a service does; return when it ends."""
        place = len(self.spans)
        own = self._take(call, place + 1, parent, at_ns)
        end_ns = at_ns + int(call.own_ms * MS_NS)
        for callee in call.calls:
            client = self._take(Call(call.service, 0, fails=callee.fails, kind=CLIENT), 0, own, end_ns)
            begin_ns, client_at = end_ns, len(self.spans) - 1
            end_ns = self.add(callee, begin_ns + MS_NS, client) + MS_NS
            self._end(client_at, end_ns)
        self._end(place, end_ns)
        return end_ns

    def _take(self, call: Call, span: int, parent: int, at_ns: int) -> int:
        span = span or len(self.spans) + 1
        name = f"{call.service} {call.kind}"
        made = MadeSpan(
            call.service,
            name,
            call.kind,
            self.number,
            span,
            parent,
            at_ns,
            at_ns,
            call.fails,
            call.peer,
            tier=call.tier,
        )
        self.spans.append(made)
        return span

    def _end(self, place: int, end_ns: int) -> None:
        self.spans[place] = replace(self.spans[place], end_ns=end_ns)


Traffic = Callable[[int, int], Sequence[Call]]
"""The requests of a second, by the second and how many there were before; a fault begins at `CALM_S`."""


def told(traffic: Traffic, seconds: int = CALM_S + FAULT_S) -> list[IncidentEvent]:
    """Return all incident events of the traffic."""
    pipeline, events = LocalPipeline(Settings()), list[IncidentEvent]()
    for arrival_ns, payload in _payloads(traffic, seconds):
        for decided in pipeline.feed(TRACES.name, payload, arrival_ns):
            events += decided.events
    for decided in pipeline.advance(START_NS + (seconds + 20) * SECOND_NS):
        events += decided.events
    return events


def _payloads(traffic: Traffic, seconds: int) -> Iterator[tuple[int, bytes]]:
    number = 0
    for second in range(seconds):
        at_ns, spans = START_NS + second * SECOND_NS, list[MadeSpan]()
        for call in traffic(second, number):
            number += 1
            trace = Trace(number)
            trace.add(call, at_ns + number % 10 * 37 * MS_NS)
            spans += trace.spans
        yield at_ns + SECOND_NS, traces_payload(spans)


def last_of(events: list[IncidentEvent], service: str) -> IncidentEvent:
    """Return the last event of the incident that begins at a service."""
    return [event for event in events if event.title.startswith(f"{service}:")][-1]


def jitter(number: int) -> float:
    """Return some milliseconds more or less."""
    return number * 7 % 11


def test_a_service_that_few_requests_call_often_hits_few_requests() -> None:
    """One of twenty calls cart, twenty times: as many calls as there are requests."""

    def traffic(second: int, before: int) -> list[Call]:
        cart = Call("cart", 3 + jitter(before) / 4 + (40 if second >= CALM_S else 0))
        other = [Call("web", 20 + jitter(before + n)) for n in range(9)]
        return [*other, Call("web", 20, (cart,) * 20) if second % 2 else other[0]]

    event = last_of(told(traffic), "cart")
    assert 0.03 < event.impact.share < 0.07
    assert event.severity.rank <= Severity.MEDIUM.rank
    assert event.impact.slow_requests < 0.07 * event.impact.requests


@pytest.mark.parametrize("is_timer", [False, True])
def test_work_that_no_user_waits_for_hits_no_user_and_is_at_most_medium(is_timer: bool) -> None:
    """A consumer with traces of its own becomes slow, or what a timer calls; users call another service."""

    def traffic(second: int, before: int) -> list[Call]:
        took_ms = 10 + jitter(before) + (300 if second >= CALM_S else 0)
        timed = Call("timer", 2, (Call("nightly", took_ms),), kind=INTERNAL)
        job = timed if is_timer else Call("nightly", took_ms, kind=CONSUMER, peer=QUEUE)
        return [*(Call("web", 20 + jitter(before + n)) for n in range(4)), *([job] * 8)]

    event = last_of(told(traffic), "nightly")
    assert (event.impact.share, event.impact.slow_requests, event.severity) == (0.0, 0, Severity.MEDIUM)
    assert event.impact.work_share > 0.9
    assert event.impact.requests % 40 == 0, "users only: four a second"


def test_failures_at_a_door_that_no_cause_is_behind_are_not_counted() -> None:
    """The door of the administrators fails half of the time, and always did; recommendations become slow."""

    def traffic(second: int, before: int) -> list[Call]:
        recs = Call("recs", 5 + jitter(before) + (300 if second >= CALM_S else 0))
        users = [Call("web", 20 + jitter(before + n), (recs,) if n == 0 else ()) for n in range(8)]
        return [*users, *(Call("admin", 15 + jitter(before), fails=n % 2 == 0) for n in range(6))]

    event = last_of(told(traffic), "recs")
    assert event.impact.failed_requests == 0
    assert 0.04 < event.impact.share < 0.09
    assert event.severity is Severity.MEDIUM


def test_failures_of_another_fault_behind_the_same_door_are_not_counted() -> None:
    """Payments becomes slow; minutes later recommendations fail. No request calls both."""

    def traffic(second: int, before: int) -> list[Call]:
        payments = Call("payments", 5 + jitter(before) + (300 if second >= CALM_S else 0))
        fails = second >= CALM_S + 90
        recs = Call("recs", 5 + jitter(before), fails=fails)
        calls: list[tuple[Call, ...]] = [(payments,), (recs,), (recs,), (recs,), (), (), (), ()]
        return [Call("web", 20 + jitter(before), each, fails=fails and recs in each) for each in calls]

    events = told(traffic, CALM_S + 190)
    slow, failing = last_of(events, "payments"), last_of(events, "recs")
    assert slow.impact.failed_requests == 0
    assert 0.1 < slow.impact.share < 0.15
    assert failing.impact.failed_requests > 0.3 * failing.impact.requests
    assert failing.impact.slow_requests == 0


def test_what_fails_by_habit_is_no_failure_of_an_incident() -> None:
    """One of twenty requests that call stock always failed; now it is half of them."""

    def traffic(second: int, before: int) -> list[Call]:
        places = range(second % 2 * 10, second % 2 * 10 + 10)
        fails = [n % 2 == 1 if second >= CALM_S else n == 7 for n in places]
        return [
            Call("web", 20 + jitter(n), (Call("stock", 5 + jitter(n), fails=bad),), bad) for n, bad in enumerate(fails)
        ]

    impact = last_of(told(traffic), "stock").impact
    assert 0.44 < impact.failed_requests / impact.requests < 0.46
    assert 0.44 < impact.share < 0.46


def test_only_requests_that_took_longer_are_slow() -> None:
    """All pass cart; three of ten wait for it."""

    def traffic(second: int, before: int) -> list[Call]:
        late = 300 if second >= CALM_S else 0
        carts = [Call("cart", 10 + jitter(before + n) + (late if n < 3 else 0)) for n in range(10)]
        return [Call("web", 20 + jitter(before), (cart,)) for cart in carts]

    event = last_of(told(traffic), "cart")
    assert 0.25 < event.impact.slow_requests / event.impact.requests < 0.35
    assert event.severity is Severity.HIGH


def test_requests_that_a_stop_of_traffic_is_short_of_are_hit() -> None:
    """Nobody comes in at one of two doors, which had half of the requests."""

    def traffic(second: int, before: int) -> list[Call]:
        users = [Call("web", 20 + jitter(before), (Call("cart", 5 + jitter(before)),)) for _ in range(5)]
        partners = [Call("partners", 20 + jitter(before), (Call("stock", 5 + jitter(before)),)) for _ in range(5)]
        return partners if second >= CALM_S else [*users, *partners]

    events = told(traffic, CALM_S + 150)
    event = events[-1]
    assert "stopped" in event.title
    assert 0.45 < event.impact.share < 0.55
    assert abs(event.impact.missing_requests - event.impact.requests) < 0.1 * event.impact.requests
    assert event.severity.rank >= Severity.HIGH.rank


def test_a_consumer_that_says_nothing_of_its_queue_is_no_door() -> None:
    """Also where nobody else is known to come in: its work is no user's request."""

    def traffic(second: int, before: int) -> list[Call]:
        took_ms = 10 + jitter(before) + (300 if second >= CALM_S else 0)
        return [
            *(Call("web", 20 + jitter(before + n)) for n in range(4)),
            *([Call("nightly", took_ms, kind=CONSUMER)] * 8),
        ]

    event = last_of(told(traffic), "nightly")
    assert (event.impact.share, event.severity) == (0.0, Severity.MEDIUM)
    assert event.impact.requests % 40 == 0, "users only: four a second"


def test_few_users_who_are_all_cut_off_are_seen_among_many_requests() -> None:
    """A tenth of the requests fail: those of one user in four, who come seldom; without names it is medium."""

    def traffic(second: int, before: int, names: bool) -> list[Call]:
        calls = []
        for n in range(10):
            place = before + n
            seldom = n == 0
            user = f"seldom-{second % 20}" if seldom else f"often-{place % 60}"
            fails = seldom and second >= CALM_S
            who = (("enduser.id", user),) if names else ()
            calls.append(
                Call("web", 20 + jitter(place), (Call("stock", 5 + jitter(place), fails=fails),), fails, peer=who)
            )
        return calls

    named = last_of(told(lambda second, before: traffic(second, before, names=True)), "stock")
    nameless = last_of(told(lambda second, before: traffic(second, before, names=False)), "stock")
    assert named.impact.share == nameless.impact.share < 0.15
    assert 0.15 < named.impact.users_share < 0.35
    assert 70 <= named.impact.users <= 90
    assert (named.severity, nameless.severity) == (Severity.HIGH, Severity.MEDIUM)
    assert "users" in named.severity_reason
    assert nameless.impact.users == 0


def test_a_service_says_how_much_it_matters() -> None:
    """Three of ten wait for cart, which is high; cart says that it is critical."""

    def traffic(second: int, before: int) -> list[Call]:
        late = 300 if second >= CALM_S else 0
        carts = [Call("cart", 10 + jitter(before + n) + (late if n < 3 else 0), tier="critical") for n in range(10)]
        return [Call("web", 20 + jitter(before), (cart,)) for cart in carts]

    event = last_of(told(traffic), "cart")
    assert event.severity is Severity.CRITICAL
    assert event.severity_reason.endswith("one step more, as cart is of critical tier")
    assert event.services[0].tier == "critical"
