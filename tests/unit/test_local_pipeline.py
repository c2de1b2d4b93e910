"""The operators chained in one process: spans in, an incident with its cause out."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.incidents import Deploy, HypothesisSet, IncidentEvent
from schemas.settings import Settings
from schemas.topics import LOGS, METRICS, TRACES
from streams.pipeline import Decided, LocalPipeline
from streams.windows import SECOND_NS
from tests.made_spans import CLIENT, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

RATE_PER_S = 5
CALM_S, FAULT_S = 150, 60


def request(number: int, at_ns: int, delay_ms: float) -> list[MadeSpan]:
    """Return a request: shop calls cart over a network that takes `delay_ms`, and ads over one that does not."""
    total_ns = int((30 + delay_ms) * MS_NS)
    calls = [("cart", 10.0, delay_ms), ("ads", 4.0, 0.0)]
    spans = [MadeSpan("shop", "GET /", SERVER, number, 1, 0, at_ns, at_ns + total_ns)]
    for index, (callee, took_ms, wait_ms) in enumerate(calls):
        start_ns, client, server = at_ns + MS_NS, 2 + 2 * index, 3 + 2 * index
        end_ns = start_ns + int((took_ms + 2 + wait_ms) * MS_NS)
        spans.append(MadeSpan("shop", f"call {callee}", CLIENT, number, client, 1, start_ns, end_ns))
        server_ns = start_ns + MS_NS
        spans.append(
            MadeSpan(callee, "GET /", SERVER, number, server, client, server_ns, server_ns + int(took_ms * MS_NS))
        )
    return spans


def seconds_of_traffic() -> Iterator[tuple[int, bytes]]:
    """Yield (arrival, payload) for each second: calm, then the network to cart gets 300 ms slower."""
    number = 1
    for second in range(CALM_S + FAULT_S):
        at_ns = START_NS + second * SECOND_NS
        delay_ms = 300.0 if second >= CALM_S else (number % 5) * 0.3
        spans = []
        for index in range(RATE_PER_S):
            spans += request(number, at_ns + index * 100 * MS_NS, delay_ms)
            number += 1
        yield at_ns + SECOND_NS, traces_payload(spans)


def run(pipeline: LocalPipeline) -> list[Decided]:
    """Feed everything and let five minutes pass."""
    decided: list[Decided] = []
    for arrival_ns, payload in seconds_of_traffic():
        decided += pipeline.feed(TRACES.name, payload, arrival_ns)
    decided += pipeline.advance(START_NS + (CALM_S + FAULT_S + 300) * SECOND_NS)
    return decided


def events(decided: list[Decided]) -> list[IncidentEvent]:
    """Return all incident events."""
    return [event for one in decided for event in one.events]


def test_a_network_delay_becomes_one_incident_that_names_the_callee() -> None:
    """Decided when the pane is settled and paired: 15 s after its end, not before."""
    decided = run(LocalPipeline(Settings()))
    opened = [event for event in events(decided) if event.kind == "opened"]
    assert len(opened) == 1
    fault_ns = START_NS + CALM_S * SECOND_NS
    assert 15 <= (opened[0].decided_at_ns - fault_ns) / SECOND_NS <= 55
    assert opened[0].decided_at_ns - opened[0].at_ns == 15 * SECOND_NS
    rankings = [due.make() for one in decided for due in one.rankings]
    assert rankings[-1].hypotheses[0].service == "cart"


def test_a_deploy_before_the_onset_counts_and_one_to_come_does_not() -> None:
    """All of them are given at the start; what goes live later explains nothing."""

    def ranked(*at_s: int) -> list[HypothesisSet]:
        deploys = [
            Deploy(deploy_id=f"{second}", tenant="local", service="cart", at_ns=START_NS + second * SECOND_NS)
            for second in at_s
        ]
        decided = run(LocalPipeline(Settings(), deploys=deploys))
        return [due.make() for one in decided for due in one.rankings]

    plain = ranked()
    assert ranked(CALM_S + 45) == plain
    assert ranked(CALM_S - 5)[0] != plain[0]


def test_two_runs_decide_the_same() -> None:
    """Nothing depends on the machine or its clock."""
    one, other = run(LocalPipeline(Settings())), run(LocalPipeline(Settings()))
    assert events(one) == events(other)
    assert [one.rankings for one in one] == [one.rankings for one in other]


def test_garbage_is_counted_and_metrics_are_passed_over() -> None:
    """Neither stops what comes after it."""
    pipeline = LocalPipeline(Settings())
    list(pipeline.feed(TRACES.name, b"\xff\xfe nonsense", START_NS))
    list(pipeline.feed(LOGS.name, b"\xff", START_NS))
    list(pipeline.feed(METRICS.name, b"\xff", START_NS))
    list(pipeline.advance(START_NS + 60 * SECOND_NS))
    assert pipeline.unreadable == 3
