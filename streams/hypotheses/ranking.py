"""The ranking of one incident as of one instant."""

from __future__ import annotations

import math
from collections.abc import Sequence

from schemas.incidents import Hypothesis, HypothesisSet
from schemas.snapshots import RankingSnapshot, Weights
from streams.hypotheses.innocence import ruled_out
from streams.hypotheses.nodes import Nodes
from streams.hypotheses.proof import evidence_of, title_of
from streams.hypotheses.story import places_of
from streams.hypotheses.suspects import Suspect, suspects_of
from streams.hypotheses.weights import WEIGHTS

_MOST_HYPOTHESES = 8


def rank(snapshot: RankingSnapshot, weights: Weights | None = None) -> HypothesisSet:
    """Rank the suspects of an incident by the weights of the snapshot, or by others.

    The same snapshot and weights give the same answer, to the last digit. Of a snapshot without weights those of this
    build count; for a stored one ask `weights_of`.
    """
    weights = weights or snapshot.weights or WEIGHTS
    nodes = Nodes(snapshot)
    suspects = suspects_of(snapshot, nodes, weights)
    blamed = [suspect for suspect in suspects if suspect.score > 0]
    places = places_of(blamed[0].service, nodes) if blamed else {}
    listed = [s for i, s in enumerate(blamed) if i < _MOST_HYPOTHESES or s.service in places]
    chances = {one.service: chance for one, chance in zip(blamed, _confidences(blamed, weights), strict=True)}
    hypotheses = [
        Hypothesis(
            rank=number, suspect_kind=kind_of(suspect), service=suspect.service, edge_client=suspect.edge_client,
            instance=suspect.instance, operation=suspect.operation,
            deploy_id=suspect.deploy.deploy_id if suspect.deploy else None, title=title_of(suspect),
            score=round(suspect.score, 4), confidence=round(chances[suspect.service], 4),
            place=places.get(suspect.service),
            parts=sorted(suspect.parts, key=lambda part: (-part.contribution, part.name)),
            evidence=evidence_of(suspect, snapshot),
        )
        for number, suspect in enumerate(listed, start=1)
    ]  # fmt: skip
    return HypothesisSet(
        tenant=snapshot.tenant, incident_id=snapshot.incident_id, version=snapshot.version,
        as_of_ns=snapshot.as_of_ns, weights_version=weights.version, hypotheses=hypotheses,
        ruled_out=ruled_out(suspects, listed, nodes),
    )  # fmt: skip


def kind_of(suspect: Suspect) -> str:
    """Return what is suspected of this service: its deploy, the load on it, a connection to it, or itself.

    Of itself one instance or one operation, where it is one.
    """
    lead = suspect.leading()
    if not suspect.node.is_service:
        return "dependency"
    if suspect.deploy is not None:
        return "deploy"
    is_stop = lead is not None and lead.name == "stopped" and suspect.node.finding.is_entry and not suspect.operation
    if is_stop or suspect.is_load:
        return "load"
    if suspect.edge_client:
        return "edge"
    if suspect.instance is not None:
        return "instance"
    return "operation" if suspect.operation is not None else "service"


def _confidences(suspects: Sequence[Suspect], weights: Weights) -> list[float]:
    """Return how sure each is: its chance in the choice among all suspects and nobody of them (`fitting`)."""
    logits = [weights.certainty * score for score in (*(one.score for one in suspects), weights.nobody)]
    odds = [math.exp(logit - max(logits)) for logit in logits]
    return [one / sum(odds) for one in odds[:-1]]
