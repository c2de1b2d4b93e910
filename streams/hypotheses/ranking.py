"""The ranking of one incident as of one instant."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from schemas.events import Deploy, Hypothesis, HypothesisSet, IncidentEvent, NodeKind, RuledOut, SeriesKind
from streams.hypotheses.findings import ServiceFindings, findings_of
from streams.hypotheses.picture import TenantPicture
from streams.hypotheses.proof import evidence_of, title_of
from streams.hypotheses.story import places_of
from streams.hypotheses.suspects import Suspect, suspects_of
from streams.hypotheses.weights import WEIGHTS, Weights
from streams.incidents.words import amount

_NS = 1_000_000_000
_LOOK_S = 300.0
"""A ranking looks at the first minutes since the onset: what comes later are mostly consequences."""
_EARLIER_S = 20.0
_MOST_HYPOTHESES = 8
_MOST_RULED_OUT = 12


def rank(
    picture: TenantPicture, incident: IncidentEvent, deploys: Sequence[Deploy], as_of_ns: int, version: int,
    weights: Weights = WEIGHTS,
) -> HypothesisSet:  # fmt: skip
    """Rank the suspects of an incident by what was known at `as_of_ns`. The same input gives the same answer.

    `deploys` are those of the tenant near the incident; later ones than `as_of_ns` are ignored.
    """
    start_ns = incident.onset_ns - int(_EARLIER_S * _NS)
    end_ns = min(as_of_ns, incident.onset_ns + int(_LOOK_S * _NS))
    found = findings_of(picture.between(start_ns, end_ns))
    known = [deploy for deploy in deploys if deploy.at_ns <= as_of_ns]
    suspects = suspects_of(found, known, incident.onset_ns, weights)
    blamed = [suspect for suspect in suspects if suspect.score > 0]
    places = places_of(blamed[0].service, found) if blamed else {}
    listed = [s for i, s in enumerate(blamed) if i < _MOST_HYPOTHESES or s.service in places]
    shares = _confidences(listed)
    hypotheses = [
        Hypothesis(
            rank=number, suspect_kind=kind_of(suspect), service=suspect.service, edge_client=_client_of(suspect),
            deploy_id=suspect.deploy.deploy_id if suspect.deploy else None, title=title_of(suspect),
            score=round(suspect.score, 4), confidence=round(shares[number - 1], 4), place=places.get(suspect.service),
            parts=sorted(suspect.parts, key=lambda part: (-part.contribution, part.name)),
            evidence=evidence_of(suspect, start_ns, end_ns),
        )
        for number, suspect in enumerate(listed, start=1)
    ]  # fmt: skip
    return HypothesisSet(
        tenant=incident.tenant, incident_id=incident.incident_id, version=version, as_of_ns=as_of_ns,
        weights_version=weights.version, hypotheses=hypotheses, ruled_out=_ruled_out(suspects, listed, found),
    )  # fmt: skip


def kind_of(suspect: Suspect) -> str:
    """Return what is suspected of this service: itself, a connection to it, its deploy, or the load on it."""
    lead = suspect.leading()
    if suspect.findings.node_kind is not NodeKind.SERVICE:
        return "dependency"
    if suspect.deploy is not None:
        return "deploy"
    if lead is not None and lead.name in ("load", "stopped") and suspect.findings.is_entry:
        return "load"
    return "edge" if _client_of(suspect) else "service"


def _client_of(suspect: Suspect) -> str | None:
    """Return the client of the one connection that is to blame, if it is one."""
    lead, blame = suspect.leading(), suspect.blame
    if lead is None or lead.name != "gap" or blame.as_callee < blame.as_caller or blame.slow_in != 1:
        return None
    return blame.worst_client


def _confidences(listed: Sequence[Suspect]) -> list[float]:
    """Return how sure each is: its share of all scores (squared: small ones are noise), less when all is weak."""
    squares = [suspect.score**2 for suspect in listed]
    total = sum(squares)
    return [square / total * (1.0 - math.exp(-suspect.score)) for square, suspect in zip(squares, listed, strict=True)]


def _ruled_out(
    suspects: Sequence[Suspect], listed: Sequence[Suspect], found: Mapping[str, ServiceFindings]
) -> list[RuledOut]:
    """Return the neighbours of the suspects that were looked at and not blamed, with the reason."""
    names = {suspect.service for suspect in listed}
    near = {client for name in names for client in found[name].edges}
    near |= {service for service, one in found.items() if names & set(one.edges)}
    others = [s for s in suspects if s.service in near - names]
    return [RuledOut(service=s.service, reason=_innocence(s.findings)) for s in others[:_MOST_RULED_OUT]]


def _innocence(findings: ServiceFindings) -> str:
    own = findings.series.get((SeriesKind.SELF_TIME, None))
    facts = [f"{findings.errors} of {findings.requests} requests failed"]
    if own is not None and own.peak is not None:
        usual, value = amount(own.peak.median, "ms"), amount(own.peak.value, "ms")
        facts.append(f"own time at most {value} (normally {usual})")
    gaps = [f.peak for f in findings.series.values() if f.kind is SeriesKind.GAP and f.peak is not None]
    if gaps:
        worst = max(gaps, key=lambda peak: peak.score)
        facts.append(f"network and queue time at most {amount(worst.value, 'ms')}")
    return "normal: " + ", ".join(facts)
