"""What is pinned of a ranking, and when."""

from __future__ import annotations

from schemas.deviations import SeriesKind
from schemas.health import Exemplars
from schemas.incidents import Impact, IncidentEvent, IncidentState, Severity
from schemas.snapshots import RankingSnapshot
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.hypotheses.pinning import moments_of, plan_of, strength_of
from tests.made_health import deviations, pane_start, score


def snapshot(**exemplars: list[str]) -> RankingSnapshot:
    """Return what is known when cart is slow, which shop calls; cart has these exemplars."""
    picture = TenantPicture("acme")
    for pane in range(-3, 4):
        slow = [score(SeriesKind.SELF_TIME, 0)] if pane >= 0 else []
        normal = [f"{pane + 3:032x}"] if pane < 0 else []
        cart = deviations("cart", pane, slow, callers=["shop"])
        told = Exemplars(normal=normal) if pane < 0 else Exemplars(**exemplars)
        picture.step(cart.model_copy(update={"exemplars": told}))
        picture.step(deviations("shop", pane, entry=True))
    event = IncidentEvent(
        event_id="inc-1-1", incident_id="inc-1", tenant="acme", sequence=1, kind="opened", at_ns=pane_start(3),
        onset_ns=pane_start(0), state=IncidentState.OPEN, severity=Severity.HIGH, title="cart", services=[],
        impact=Impact(requests=1, failed_requests=0, share=0.0, services=1),
    )  # fmt: skip
    return snapshot_of(picture, event, [], pane_start(4), 4)


def test_slow_failing_and_normal_traces_take_turns() -> None:
    """One of each first, then seconds; a normal one is from well before the onset; none twice."""
    taken = snapshot(slow=["a", "b"], failing=["c", "a"])
    plan = plan_of(rank(taken), taken, "opening")
    picks = [(pick.role, pick.trace_id) for pick in plan.picks]
    assert picks[:3] == [("slow", "a"), ("failing", "c"), ("normal", f"{0:032x}")]
    assert picks[3] == ("slow", "b")
    assert len({trace_id for _, trace_id in picks}) == len(picks) <= 9


def test_the_graph_and_the_queries_are_kept_as_they_were() -> None:
    """With the suspects whose attributes are worth comparing."""
    taken = snapshot(slow=["a"])
    ranking = rank(taken)
    plan = plan_of(ranking, taken, "peak")
    assert [(edge.client, edge.server, edge.requests) for edge in plan.graph] == [("shop", "cart", 300)]
    assert plan.suspects[0] == "cart"
    assert plan.evidence[0].query == ranking.hypotheses[0].evidence[0].query


def test_the_first_ranking_is_the_opening_and_for_now_the_peak() -> None:
    """Later only a clearly stronger suspicion is a new peak."""
    ranking = rank(snapshot())
    assert moments_of(ranking, None) == ["opening", "peak"]
    assert moments_of(ranking, strength_of(ranking)) == []
    assert moments_of(ranking, strength_of(ranking) / 1.2) == ["peak"]
    assert moments_of(ranking.model_copy(update={"hypotheses": []}), None) == []
