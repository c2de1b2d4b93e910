"""Instances of a service: counted one by one in panes, and one that is unlike the others found and named."""

from __future__ import annotations

import pytest
from made_health import deviations, pane_start
from made_spans import CLIENT, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

from schemas.deviations import ServiceDeviations
from schemas.health import InstanceHealth, NodeKind
from schemas.incidents import HypothesisSet, Impact, IncidentEvent, IncidentState, Severity
from schemas.losses import LossReason
from streams.baselines import BaselineFold
from streams.contents import OVERFLOW_INSTANCE, PaneContents, merge_contents
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.otlp import decode_spans
from streams.panes import PaneFold
from streams.pictures import Standing, picture_of
from streams.windows import SECOND_NS, WindowConfig

PAST, PANES = 12, 6
USUAL_BIN, SLOW_BIN = 3000, 3200


def span(
    number: int, key: str, instance: str, *, took_ms: int = 10, error: bool = False, kind: int = SERVER
) -> MadeSpan:
    """Return a span of service pay, told by one of its instances."""
    end_ns = START_NS + took_ms * MS_NS
    return MadeSpan("pay", "GET /", kind, number, 1, 0, START_NS, end_ns, error=error, instance=(key, instance))


def contents(*spans: MadeSpan, config: WindowConfig | None = None) -> tuple[PaneContents, PaneFold]:
    """Return what the first pane of service pay holds of these spans."""
    fold = PaneFold("otel.traces/0", config or WindowConfig())
    fold.step_spans("acme", decode_spans(traces_payload(spans)), START_NS + 10 * SECOND_NS, 0)
    return fold.flush()[0].contents, fold


def test_requests_errors_and_latency_are_counted_by_instance() -> None:
    """Entry spans alone, by the id of the instance, its pod or its host; merged over sources."""
    spans = [span(n, "service.instance.id", "a", took_ms=n) for n in range(1, 101)]
    spans += [span(n, "k8s.pod.name", "b", error=n % 2 == 0) for n in range(1, 11)]
    spans += [span(n, "host.name", "c") for n in range(1, 4)] + [span(7, "host.name", "c", kind=CLIENT)]
    held, _ = contents(*spans)
    merged = merge_contents([held, held])
    standing = Standing("acme", "pay", NodeKind.SERVICE, START_NS, 0, 0, False, True)
    shown = picture_of(standing, merged, merged, WindowConfig()).instances
    assert [(one.instance, one.requests, one.errors) for one in shown] == [("a", 200, 0), ("b", 20, 10), ("c", 6, 0)]
    assert shown[0].p95_ms == pytest.approx(95, rel=1 / 16)


def test_instances_beyond_the_cap_are_counted_together() -> None:
    """And how many requests that were is a loss with a name."""
    spans = [span(n, "host.name", f"h{n % 4}") for n in range(1, 9)]
    held, fold = contents(*spans, config=WindowConfig(max_instances=2))
    assert {name: tally.requests for name, tally in held.instances.items()} == {"h1": 2, "h2": 2, OVERFLOW_INSTANCE: 4}
    assert [(loss.reason, loss.count) for loss in fold.drain_losses()] == [(LossReason.INSTANCE_OVERFLOW, 4)]


def test_a_single_instance_is_no_evidence_and_not_carried_along() -> None:
    """There is nothing to compare it with."""
    held, _ = contents(span(1, "host.name", "a"))
    standing = Standing("acme", "pay", NodeKind.SERVICE, START_NS, 0, 0, False, True)
    health = picture_of(standing, held, held, WindowConfig())
    assert len(health.instances) == 1
    _, told = BaselineFold().step(None, health)
    assert told is None or told.instances == []


def served(requests: int, *, errors: int = 0, slow: int = 0) -> tuple[int, int, int]:
    """Return what an instance did in a pane."""
    return requests, errors, slow


def by_instance(one: ServiceDeviations, *each: tuple[int, int, int]) -> ServiceDeviations:
    """Return what is known of a service with what each of its instances did."""
    instances = [
        InstanceHealth(
            instance=f"{one.service}-{number}", requests=requests, errors=errors,
            durations={USUAL_BIN: requests - slow} | ({SLOW_BIN: slow} if slow else {}),
        )
        for number, (requests, errors, slow) in enumerate(each)
    ]  # fmt: skip
    return one.model_copy(update={"instances": instances})


def ranked(past: ServiceDeviations, now: ServiceDeviations) -> HypothesisSet:
    """Rank after panes that all look like `past`, then all like `now` since the onset."""
    picture = TenantPicture("acme")
    for pane in range(-PAST, PANES):
        one = now if pane >= 0 else past
        picture.step(one.model_copy(update={"pane_start_ns": pane_start(pane)}))
    event = IncidentEvent(
        event_id="inc-1-1", incident_id="inc-1", tenant="acme", sequence=1, kind="opened", at_ns=pane_start(1),
        onset_ns=pane_start(2), state=IncidentState.OPEN, severity=Severity.HIGH, title="something", services=[],
        impact=Impact(requests=1, failed_requests=0, share=0.0, services=1),
    )  # fmt: skip
    return rank(snapshot_of(picture, event, [], pane_start(PANES), 1))


def value(ranking: HypothesisSet) -> float:
    """Return the part of the score that instances bring."""
    return sum(part.value for one in ranking.hypotheses for part in one.parts if part.name == "instances")


CALM = by_instance(deviations("pay", 0), *[served(25)] * 4)


@pytest.mark.parametrize("bad", [served(25, errors=10), served(25, slow=10)])
def test_one_of_four_instances_that_fails_or_is_slow_is_named(bad: tuple[int, int, int]) -> None:
    """With a part of the score, a reason, and the question that counts the requests again."""
    ranking = ranked(CALM, by_instance(deviations("pay", 0), served(25), bad, served(25), served(25)))
    (first,) = ranking.hypotheses
    assert value(ranking) > 0.8
    assert first.instance == "pay-1"
    assert "pay-1" in first.title
    shown = next(one for one in first.evidence if "pay-1" in one.summary)
    assert "tenant = 'acme' AND service = 'pay'" in shown.query


def test_what_all_instances_have_is_nobodys() -> None:
    """A dependency fails them all alike."""
    bad = served(25, errors=10, slow=10)
    assert value(ranked(CALM, by_instance(deviations("pay", 0), bad, bad, bad, bad))) < 0.05


def test_an_instance_that_always_failed_is_no_news() -> None:
    """Against its own past."""
    chronic = by_instance(deviations("pay", 0), served(25), served(25, errors=10))
    assert value(ranked(chronic, chronic)) == 0.0


def test_a_few_failures_at_one_of_two_prove_little() -> None:
    """By the intervals: six of six may be chance, and name nobody."""
    some = ranked(CALM, by_instance(deviations("pay", 0), served(25), served(25, errors=1)))
    many = ranked(CALM, by_instance(deviations("pay", 0), served(25), served(25, errors=10)))
    assert value(some) < 0.5 < value(many)
    assert [one.instance for one in (*some.hypotheses, *many.hypotheses)] == [None, "pay-1"]
