"""The operators chained in one process: one of several instances throws, and is named with what it throws."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from schemas.incidents import Hypothesis
from schemas.settings import Settings
from schemas.topics import TRACES
from streams.pipeline import LocalPipeline
from streams.windows import SECOND_NS
from tests.made_spans import CLIENT, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

RATE_PER_S, CALM_S, FAULT_S, INSTANCES, BAD = 8, 150, 60, 4, 2
THROWN = ("shop.NoStock", "none of 7", "  at shop.Cart.total(Cart.java:7)\n")


def request(number: int, at_ns: int, fails: bool, instances: int = INSTANCES) -> list[MadeSpan]:
    """Return a request: shop calls cart, whose instances take turns; the caller fails with it."""
    instance = ("service.instance.id", f"cart-{number % instances}")
    shop = MadeSpan("shop", "GET /", SERVER, number, 1, 0, at_ns, at_ns + 30 * MS_NS, error=fails)
    call = MadeSpan("shop", "call", CLIENT, number, 2, 1, at_ns + MS_NS, at_ns + 20 * MS_NS, error=fails)
    cart = MadeSpan("cart", "GET /cart", SERVER, number, 3, 2, at_ns + 2 * MS_NS, at_ns + 19 * MS_NS, instance=instance)
    return [shop, call, replace(cart, error=True, exceptions=(THROWN,)) if fails else cart]


def seconds_of_traffic(instances: int = INSTANCES) -> Iterator[tuple[int, bytes]]:
    """Yield (arrival, payload) for each second: calm, then one instance of cart fails all its requests."""
    for second in range(CALM_S + FAULT_S):
        at_ns = START_NS + second * SECOND_NS
        numbers = range(1 + second * RATE_PER_S, 1 + (second + 1) * RATE_PER_S)
        requests = (
            request(n, at_ns + n % RATE_PER_S * 100 * MS_NS, second >= CALM_S and n % instances == BAD, instances)
            for n in numbers
        )
        yield at_ns + SECOND_NS, traces_payload(span for spans in requests for span in spans)


def leading() -> Hypothesis:
    """Return the first hypothesis of the last ranking."""
    pipeline, due = LocalPipeline(Settings()), []
    for arrival_ns, payload in seconds_of_traffic():
        due += [one for decided in pipeline.feed(TRACES.name, payload, arrival_ns) for one in decided.rankings]
    return due[-1].make().hypotheses[0]


def test_the_instance_that_fails_is_named_with_what_it_throws() -> None:
    """By the requests of its siblings, and by an exception that no log record tells of."""
    first = leading()
    assert (first.service, first.instance) == ("cart", f"cart-{BAD}")
    values = {part.name: part.value for part in first.parts}
    assert values["instances"] > 0.7
    assert values["new_signature"] > 0.5
    said = next(one.summary for one in first.evidence if one.kind == "signature")
    assert "new exception" in said
    assert "NoStock: none of 7" in said


def test_one_of_twenty_four_is_named_with_what_its_siblings_do_in_one_incident() -> None:
    """From OTLP to the incident; the service's own error rate may tell of the same failures, but opens no other."""
    pipeline, incidents = LocalPipeline(Settings()), []
    for arrival_ns, payload in seconds_of_traffic(instances=24):
        for decided in pipeline.feed(TRACES.name, payload, arrival_ns):
            incidents += decided.events
    assert [event.kind for event in incidents].count("opened") == 1
    [cart] = [one for one in incidents[-1].services if one.service == "cart"]
    assert f"100 % of the requests at instance cart-{BAD} fail, its siblings' 0 %" in cart.reason
