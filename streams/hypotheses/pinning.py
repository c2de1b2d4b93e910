"""What of an incident is worth keeping for good: chosen from the ranking and what it was made from."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.incidents import Hypothesis, HypothesisSet
from schemas.pins import Moment, PinnedEdge, PinPlan, TracePick
from schemas.snapshots import NodeFinding, RankingSnapshot

_MOST_SUSPECTS = 3
_MOST_TRACES = 9
_MOST_EDGES = 500
_HIGHER = 1.05
"""A peak is replaced by one that is higher by this factor: each copy costs reads."""


def moments_of(ranking: HypothesisSet, pinned: float | None) -> list[Moment]:
    """Return which moments this ranking is; `pinned` is the strength of the peak that is kept, if there is one."""
    if not ranking.hypotheses:
        return []
    if pinned is None:
        return ["opening", "peak"]
    return ["peak"] if strength_of(ranking) > _HIGHER * pinned else []


def strength_of(ranking: HypothesisSet) -> float:
    """Return how strong the leading suspicion is."""
    return ranking.hypotheses[0].score if ranking.hypotheses else 0.0


def plan_of(ranking: HypothesisSet, snapshot: RankingSnapshot, moment: Moment) -> PinPlan:
    """Return what to pin. The same ranking gives the same plan."""
    leading = _leading(ranking)
    nodes = {node.service: node for node in snapshot.nodes}
    edges = [
        PinnedEdge(client=caller.client, server=node.service, requests=caller.requests, errors=caller.errors)
        for node in snapshot.nodes
        for caller in node.callers
        if caller.requests
    ]
    return PinPlan(
        tenant=ranking.tenant, incident_id=ranking.incident_id, moment=moment, version=ranking.version,
        as_of_ns=ranking.as_of_ns, strength=strength_of(ranking), onset_ns=snapshot.onset_ns,
        picks=_picks([nodes[one.service] for one in leading if one.service in nodes]),
        suspects=list(dict.fromkeys(one.service for one in leading)),
        graph=sorted(edges, key=lambda edge: (-edge.requests, edge.client, edge.server))[:_MOST_EDGES],
        evidence=[evidence for one in leading for evidence in one.evidence],
    )  # fmt: skip


def _leading(ranking: HypothesisSet) -> list[Hypothesis]:
    """Return the first suspicions, and those that have a place in the story."""
    return [one for one in ranking.hypotheses if one.rank <= _MOST_SUSPECTS or one.place is not None]


def _picks(nodes: Sequence[NodeFinding]) -> list[TracePick]:
    """Take turns: a slow, a failing and a normal trace of each node, then seconds, until there are enough."""
    queues = [
        [TracePick(role=role, service=node.service, trace_id=trace_id) for trace_id in trace_ids]
        for node in nodes
        for role, trace_ids in (
            ("slow", node.exemplars.slow), ("failing", node.exemplars.failing), ("normal", node.exemplars.normal),
        )
    ]  # fmt: skip
    longest = max((len(queue) for queue in queues), default=0)
    turns = [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]
    chosen = {pick.trace_id: pick for pick in reversed(turns)}
    return [pick for pick in turns if chosen[pick.trace_id] is pick][:_MOST_TRACES]
