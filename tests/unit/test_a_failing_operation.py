"""The operators chained in one process: one of many operations fails wholly, and is named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from schemas.incidents import Hypothesis, IncidentEvent
from schemas.settings import Settings
from schemas.topics import TRACES
from streams.pipeline import LocalPipeline
from streams.windows import SECOND_NS
from tests.made_spans import CLIENT, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

RATE_PER_S, CALM_S, FAULT_S = 10, 240, 120
DATABASE = (("db.system.name", "postgresql"), ("db.namespace", "shop"))
ONE_IN = 50
"""Every so many requests one pays; the others look around."""


def request(number: int, at_ns: int, fails: bool) -> list[MadeSpan]:
    """Return a request: shop calls cart, which pays or lists; the caller fails with it."""
    pays = number % ONE_IN == 0
    what = "POST /pay" if pays else f"GET /list/{'abc'[number % 3]}"
    wrong = fails and pays
    shop = MadeSpan("shop", "GET /", SERVER, number, 1, 0, at_ns, at_ns + 30 * MS_NS, error=wrong)
    call = MadeSpan("shop", "call", CLIENT, number, 2, 1, at_ns + MS_NS, at_ns + 20 * MS_NS, error=wrong)
    cart = MadeSpan("cart", what, SERVER, number, 3, 2, at_ns + 2 * MS_NS, at_ns + 19 * MS_NS)
    return [shop, call, replace(cart, error=wrong)]


def slow_request(number: int, at_ns: int, fails: bool) -> list[MadeSpan]:
    """Return a request that takes 400 ms longer where the other one fails."""
    spans = request(number, at_ns, False)
    more_ns = 400 * MS_NS if fails and number % ONE_IN == 0 else 0
    return [replace(one, end_ns=one.end_ns + more_ns) for one in spans]


def waiting_request(number: int, at_ns: int, fails: bool) -> list[MadeSpan]:
    """Return a request that waits 200 ms longer for the database that all others ask, too, where one fails."""
    shop, call, cart = request(number, at_ns, False)
    more_ns = 200 * MS_NS if fails and number % ONE_IN == 0 else 0
    longer = [replace(one, end_ns=one.end_ns + more_ns) for one in (shop, call, cart)]
    until_ns = cart.end_ns - MS_NS + more_ns
    ask = MadeSpan("cart", "SELECT", CLIENT, number, 4, 3, cart.start_ns + MS_NS, until_ns, peer=DATABASE)
    return [*longer, ask]


def seconds_of_traffic(made: object, fault_s: int) -> Iterator[tuple[int, bytes]]:
    """Yield (arrival, payload) for each second: calm, then paying goes wrong."""
    for second in range(CALM_S + fault_s):
        at_ns = START_NS + second * SECOND_NS
        numbers = range(1 + second * RATE_PER_S, 1 + (second + 1) * RATE_PER_S)
        requests = (made(n, at_ns + n % RATE_PER_S * 50 * MS_NS, second >= CALM_S) for n in numbers)  # type: ignore[operator]
        yield at_ns + SECOND_NS, traces_payload(span for spans in requests for span in spans)


def decided(made: object) -> tuple[list[IncidentEvent], Hypothesis]:
    """Return the incidents that opened, and the first hypothesis of the last ranking."""
    pipeline, events, due = LocalPipeline(Settings()), [], []
    for arrival_ns, payload in seconds_of_traffic(made, FAULT_S):
        for one in pipeline.feed(TRACES.name, payload, arrival_ns):
            events += [event for event in one.events if event.kind == "opened"]
            due += one.rankings
    return events, due[-1].make().hypotheses[0]


def test_an_operation_that_fails_wholly_opens_an_incident_that_names_it() -> None:
    """It is one request in fifty: neither the service nor its caller fails often enough to tell."""
    [event], first = decided(request)
    assert event.title.startswith("cart: 100 % of the requests POST /pay fail (normally 0.")
    assert [one.service for one in event.services] == ["cart"]
    assert event.onset_ns == START_NS + CALM_S * SECOND_NS
    assert (first.service, first.operation) == ("cart", "POST /pay")
    assert first.title == "cart fails requests by itself, at POST /pay"
    said = next(one for one in first.evidence if "GROUP BY name" in one.query)
    assert said.summary.startswith("cart: 100 % of the requests POST /pay fail")
    assert "service = 'cart'" in said.query


def test_an_operation_that_is_slow_is_named_as_well() -> None:
    """Of one request in fifty no percentile of the service tells."""
    [event], first = decided(slow_request)
    assert event.title.startswith("cart: own time of POST /pay ")
    assert (first.service, first.operation) == ("cart", "POST /pay")
    assert first.title == "cart itself is slow, at POST /pay"


def test_an_operation_that_waits_for_a_query_is_named() -> None:
    """Neither its own time nor the database says anything."""
    [event], first = decided(waiting_request)
    assert event.title.startswith("cart: requests POST /pay take 2")
    assert (first.service, first.operation) == ("cart", "POST /pay")
    assert first.title == "cart itself is slow, at POST /pay"


def test_nothing_is_told_of_a_calm_service() -> None:
    """Whose operations are as rare."""
    with pytest.raises(IndexError):
        decided(lambda number, at_ns, _: request(number, at_ns, False))
