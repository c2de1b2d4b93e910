"""Each service as a suspect: the parts of its score, each with its reason in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from schemas.events import Deploy, NodeKind, ScorePart, SeriesKind
from streams.hypotheses.blame import EdgeBlame, blame_edges
from streams.hypotheses.findings import SeriesFinding, ServiceFindings
from streams.hypotheses.weights import Weights
from streams.incidents.words import amount

OWN_KINDS = (
    SeriesKind.SELF_TIME,
    SeriesKind.GAP,
    SeriesKind.LOG_ERRORS,
    SeriesKind.ERROR_RATE,
    SeriesKind.EDGE_ERROR_RATE,
    SeriesKind.EDGE_LATENCY,
)
_EXPLAINED = 0.7
"""How much of a failure a callee in trouble explains away."""
_FIRST_S = 60.0
_DEPLOY_BEFORE_S = 900.0
_DEPLOY_DECAY_S = 300.0
_DEPLOY_AFTER_S = 30.0
"""Onsets are a pane or two inexact, so a deploy may seem to come a little after."""


@dataclass(slots=True)
class Suspect:
    """A service with its findings and parts."""

    findings: ServiceFindings
    blame: EdgeBlame
    parts: list[ScorePart] = field(default_factory=list)
    deploy: Deploy | None = None

    @property
    def service(self) -> str:
        """The service or node."""
        return self.findings.service

    @property
    def score(self) -> float:
        """The sum of the parts' contributions."""
        return sum(part.contribution for part in self.parts)

    @property
    def since_ns(self) -> int | None:
        """When its own series began to deviate."""
        return self.findings.since_ns(OWN_KINDS)

    def leading(self) -> ScorePart | None:
        """Return the part that says most."""
        return max(self.parts, key=lambda part: (part.contribution, part.name), default=None)

    def add(self, name: str, value: float, weight: float, why: str) -> None:
        """Add a part, unless it is nothing."""
        if value > 0.005:
            contribution = round(value * weight, 4)
            part = ScorePart(name=name, value=round(value, 4), weight=weight, contribution=contribution, why=why)
            self.parts.append(part)


def suspects_of(
    found: Mapping[str, ServiceFindings], deploys: Sequence[Deploy], onset_ns: int, weights: Weights
) -> list[Suspect]:
    """Return every service with its parts, the highest score first; ties by name."""
    blame = blame_edges(found)
    suspects = [Suspect(found[service], blame.get(service, EdgeBlame())) for service in sorted(found)]
    suspects = [one for one in suspects if one.findings.node_kind is not NodeKind.CLIENT]
    for suspect in suspects:
        _add_times(suspect, weights)
        _add_failures(suspect, found, weights)
        _add_traffic(suspect, found, weights)
    _add_order(suspects, weights)
    for suspect in suspects:
        _add_deploy(suspect, deploys, onset_ns, weights)
    return sorted(suspects, key=lambda s: (-s.score, s.service))


def _add_times(suspect: Suspect, weights: Weights) -> None:
    findings, blame = suspect.findings, suspect.blame
    own = findings.series.get((SeriesKind.SELF_TIME, None))
    if own is not None:
        suspect.add("self_time", own.strength, weights.self_time, _rise("own time", own))
    if findings.node_kind is not NodeKind.SERVICE:
        value, worst = _mean_over_clients(findings, SeriesKind.EDGE_LATENCY)
        why = _rise(f"latency seen by {worst.client}", worst) if worst else ""
        suspect.add("dependency", value, weights.dependency, why)
    if blame.as_callee >= blame.as_caller:
        worst = findings.series.get((SeriesKind.GAP, blame.worst_client))
        why = _rise(f"network and queue time from {blame.worst_client}", worst) if worst else ""
        suspect.add("gap", blame.as_callee, weights.gap, f"{why}; {blame.slow_in} of {blame.edges_in} callers see it")
    else:
        why = f"its calls to {blame.slow_out} of {blame.edges_out} services are slow on the way"
        suspect.add("gap", blame.as_caller, weights.gap, why)


def _add_failures(suspect: Suspect, found: Mapping[str, ServiceFindings], weights: Weights) -> None:
    findings = suspect.findings
    callees = [other for other in found.values() if findings.service in other.edges]
    below = sum(other.edges[findings.service][1] for other in callees)
    share = max(0.0, findings.errors - below) / findings.errors if findings.errors else 0.0
    inside = findings.strength(SeriesKind.ERROR_RATE) * share
    outside, _ = _mean_over_clients(findings, SeriesKind.EDGE_ERROR_RATE)
    seen = sum(errors for _, errors in findings.edges.values())
    outside *= max(0.0, seen - findings.errors) / seen if seen else 0.0
    why = f"{findings.errors} of {findings.requests} requests failed, {below} of them in a callee"
    if outside > inside:
        why = f"{seen} calls to it failed for the callers, {findings.errors} by its own account"
    suspect.add("own_errors", max(inside, outside), weights.own_errors, why)
    logs = findings.series.get((SeriesKind.LOG_ERRORS, None))
    if logs is not None and logs.strength > 0:
        explained = max((_trouble(other, findings.service) for other in callees), default=0.0)
        value = logs.strength * (1.0 - _EXPLAINED * min(1.0, explained / logs.strength))
        suspect.add("log_errors", value, weights.log_errors, _rise("requests with an error log", logs))


def _trouble(callee: ServiceFindings, caller: str) -> float:
    """Return how much a callee fails its caller: by errors, or by letting it wait until it gives up."""
    slow = max(callee.strength(SeriesKind.SELF_TIME), callee.strength(SeriesKind.GAP, caller))
    return max(_failing(callee), slow)


def _failing(findings: ServiceFindings) -> float:
    return max(findings.strength(SeriesKind.LOG_ERRORS), findings.strength(SeriesKind.ERROR_RATE))


def _add_traffic(suspect: Suspect, found: Mapping[str, ServiceFindings], weights: Weights) -> None:
    findings = suspect.findings
    if findings.stop is not None:
        callers = [found[client] for client in findings.edges if client in found]
        follows = any(c.stop is not None or _failing(c) > 0 for c in callers)
        why = f"requests stopped, normally {amount(findings.stop.median, 'per_s')}"
        suspect.add("stopped", 0.2 if follows else 1.0, weights.stopped, why)
    if findings.is_entry and findings.surge > 3.0:
        value = min(3.0, math.log10(findings.surge / 3.0))
        suspect.add("load", value, weights.load, f"requests {findings.surge:.0f} scales above normal at the door")


def _add_order(suspects: Sequence[Suspect], weights: Weights) -> None:
    starts = {s.service: s.since_ns for s in suspects if s.score > 0 and s.since_ns is not None}
    if not starts:
        return
    earliest = min(starts.values())
    for suspect in suspects:
        since = starts.get(suspect.service)
        if since is not None:
            later_s = (since - earliest) / 1e9
            why = "first to deviate" if later_s == 0 else f"deviates {later_s:.0f} s after the first"
            suspect.add("first", max(0.0, 1.0 - later_s / _FIRST_S), weights.first, why)


def _add_deploy(suspect: Suspect, deploys: Sequence[Deploy], onset_ns: int, weights: Weights) -> None:
    """Count the nearest deploy of the service in, weakly when nothing else speaks against it."""
    best: tuple[float, Deploy] | None = None
    for deploy in sorted(deploys, key=lambda d: (d.at_ns, d.deploy_id)):
        before_s = (onset_ns - deploy.at_ns) / 1e9
        if deploy.service == suspect.service and -_DEPLOY_AFTER_S <= before_s <= _DEPLOY_BEFORE_S:
            best = (math.exp(-max(0.0, before_s) / _DEPLOY_DECAY_S), deploy)
    if best is None:
        return
    near, suspect.deploy = best
    version = f" of {suspect.deploy.version}" if suspect.deploy.version else ""
    before_s = max(0.0, (onset_ns - suspect.deploy.at_ns) / 1e9)
    why = f"{suspect.deploy.kind}{version} {before_s:.0f} s before the onset"
    suspect.add("deploy", near * (1.0 if suspect.score > 0 else 0.3), weights.deploy, why)


def _mean_over_clients(findings: ServiceFindings, kind: SeriesKind) -> tuple[float, SeriesFinding | None]:
    """Return the strength of an edge series over all clients, weighted by traffic, and the strongest one."""
    pairs = [
        (findings.series[kind, c], n) for c, (n, _) in sorted(findings.edges.items()) if (kind, c) in findings.series
    ]
    total = sum(requests for _, requests in pairs)
    if not total:
        return 0.0, None
    return sum(f.strength * n for f, n in pairs) / total, max((f for f, _ in pairs), key=lambda f: f.strength)


def _rise(what: str, finding: SeriesFinding) -> str:
    peak = finding.peak
    if peak is None:
        return what
    return f"{what} up to {amount(peak.value, peak.unit)} (normally {amount(peak.median, peak.unit)})"
