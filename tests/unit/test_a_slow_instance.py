"""The operators chained in one process: one of 24 instances becomes slow, too few requests for a percentile to move."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.incidents import Severity
from schemas.settings import Settings
from schemas.topics import TRACES
from streams.pipeline import LocalPipeline
from streams.windows import SECOND_NS
from tests.made_spans import CLIENT, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

RATE_PER_S, CALM_S, FAULT_S, INSTANCES, BAD = 8, 270, 60, 24, 5


def request(number: int, at_ns: int, took_ms: int) -> list[MadeSpan]:
    """Return a request: shop calls cart, whose instances take turns."""
    instance = ("service.instance.id", f"cart-{number % INSTANCES}")
    end_ns = at_ns + took_ms * MS_NS
    shop = MadeSpan("shop", "GET /", SERVER, number, 1, 0, at_ns, end_ns + 3 * MS_NS)
    call = MadeSpan("shop", "call", CLIENT, number, 2, 1, at_ns, end_ns + 2 * MS_NS)
    cart = MadeSpan("cart", "GET /cart", SERVER, number, 3, 2, at_ns + MS_NS, end_ns, instance=instance)
    return [shop, call, cart]


def seconds_of_traffic() -> Iterator[tuple[int, bytes]]:
    """Yield (arrival, payload) for each second: calm, then one instance of cart takes 300 ms longer."""
    for second in range(CALM_S + FAULT_S):
        at_ns = START_NS + second * SECOND_NS
        numbers = range(1 + second * RATE_PER_S, 1 + (second + 1) * RATE_PER_S)
        slow = {n: 300 * (second >= CALM_S and n % INSTANCES == BAD) for n in numbers}
        requests = (request(n, at_ns + n % RATE_PER_S * 80 * MS_NS, 18 + slow[n]) for n in numbers)
        yield at_ns + SECOND_NS, traces_payload(span for spans in requests for span in spans)


def test_the_instance_that_is_slow_opens_an_incident_and_is_named() -> None:
    """From OTLP to the ranking, with what its siblings do."""
    pipeline, incidents, due = LocalPipeline(Settings()), [], []
    for arrival_ns, payload in seconds_of_traffic():
        for decided in pipeline.feed(TRACES.name, payload, arrival_ns):
            incidents += decided.events
            due += decided.rankings
    [opened] = [event for event in incidents if event.kind == "opened"]
    assert opened.severity is Severity.LOW
    assert opened.title.startswith("cart: 100 % of the requests at instance cart-5 slower than")
    first = due[-1].make().hypotheses[0]
    assert (first.service, first.instance) == ("cart", "cart-5")
