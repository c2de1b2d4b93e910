"""The evidence of a hypothesis: numbers, the query that shows them again, and traces to look at."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from schemas.deviations import SeriesKind, SignatureChange
from schemas.incidents import Evidence, ScorePart
from schemas.snapshots import MetricFinding, RankingSnapshot, SeriesFinding
from streams.hypotheses.budgets import burn_of
from streams.hypotheses.operations import Standout
from streams.hypotheses.replicas import Concentration
from streams.hypotheses.resources import move_in_words
from streams.hypotheses.spectrum import bad_in_words
from streams.hypotheses.suspects import OWN_KINDS, Suspect
from streams.incidents.words import plain, series_in_words

_MOST_SERIES = 3
_MOST_TRACES = 5
_EDGE_KINDS = (SeriesKind.GAP, SeriesKind.EDGE_LATENCY, SeriesKind.EDGE_ERROR_RATE)
_BY_INSTANCE = (
    "SELECT coalesce(nullIf(resource_attributes['service.instance.id'], ''), "
    "nullIf(resource_attributes['k8s.pod.name'], ''), resource_attributes['host.name']) AS instance, "
    "count() AS requests, countIf(status_code = 2) AS errors, quantile(0.95)(duration_ns) / 1e6 AS p95_ms "
    "FROM spans WHERE tenant = {tenant} AND service = {service} AND kind_code IN (2, 5) "
    "AND end_unix_nano >= {start} AND end_unix_nano < {end} GROUP BY instance ORDER BY instance"
)
_METRIC = (
    "SELECT resource_attributes['service.instance.id'] AS instance, attributes, time, value FROM metric_points "
    "WHERE tenant = {tenant} AND service = {service} AND metric = {metric} "
    "AND unix_nano >= {start} AND unix_nano < {end} ORDER BY instance, time"
)
_BY_OPERATION = (
    "SELECT name, count() AS requests, countIf(status_code = 2) AS errors, quantile(0.95)(duration_ns) / 1e6 AS p95_ms "
    "FROM spans WHERE tenant = {tenant} AND service = {service} AND kind_code IN (2, 5) "
    "AND end_unix_nano >= {start} AND end_unix_nano < {end} GROUP BY name ORDER BY errors DESC, p95_ms DESC LIMIT 100"
)
_EARLIER_NS = 1800 * 1_000_000_000
_HOUR_NS = 3600 * 1_000_000_000
_TITLES = {
    "self_time": "{service} itself is slow",
    "dependency": "{service} answers slowly",
    "own_errors": "{service} fails requests by itself",
    "log_errors": "{service} logs errors it did not log before",
    "new_signature": "{service} says something new",
    "origin": "requests fail first in {service}",
    "spectrum": "{bad} requests have {service} in common",
    "instances": "one instance of {service} is unlike the others",
    "metrics": "resources of {service} are not what they were",
    "missing_calls": "{service} no longer makes the calls it made",
    "stopped": "{service} gets no requests any more",
    "load": "more requests than usual reach {service}",
    "first": "{service} deviated first",
    "deploy": "{service} was deployed just before",
    "budget": "{service} fails or is slow all the time",
}


_ELSEWHERE = ("gap", "dependency", "stopped", "load", "missing_calls")
"""Suspicions that say nothing of what the service does with a request."""


def title_of(suspect: Suspect) -> str:
    """Return the suspicion in one line."""
    lead = suspect.leading()
    if lead is None:
        return suspect.service
    if lead.name == "stopped" and suspect.node.finding.stop is None and suspect.operation is not None:
        return f"{suspect.operation} of {suspect.service} is no longer called"
    if suspect.is_load:
        title = _TITLES["load"].format(service=suspect.service)
    elif lead.name == "gap" and suspect.blame.as_callee >= suspect.blame.as_caller:
        caller = f"from {suspect.edge_client} " if suspect.edge_client else ""
        title = f"the connection {caller}to {suspect.service} is slow"
    elif lead.name == "gap":
        title = f"{suspect.service} is slow at calling others"
    elif lead.name == "first" and lead.value < 1.0:
        title = f"{suspect.service} deviates"
    else:
        title = _TITLES[lead.name].format(service=suspect.service, bad=bad_in_words(suspect.node))
    if suspect.deploy is not None and lead.name != "deploy":
        version = f" {suspect.deploy.version}" if suspect.deploy.version else ""
        title += f" since {suspect.deploy.kind}{version}"
    if suspect.operation is not None and lead.name not in _ELSEWHERE and not suspect.is_load:
        title += f", at {suspect.operation}"
    return title if suspect.instance is None else f"{title}, at instance {suspect.instance}"


def evidence_of(suspect: Suspect, snapshot: RankingSnapshot) -> list[Evidence]:
    """Return what speaks against the suspect, strongest first, with an API path or SQL that returns it again."""
    start_ns, end_ns = snapshot.start_ns, snapshot.end_ns
    series = [f for f in suspect.node.series.values() if f.kind in OWN_KINDS and f.strength > 0]
    series = [f for f in series if not _is_told_by_its_edge(f, series)]
    series.sort(key=lambda f: (-f.strength, f.kind.value, f.client or ""))
    evidence = [_series(suspect, finding, start_ns, end_ns) for finding in series[:_MOST_SERIES]]
    burn = burn_of(suspect.node)
    if burn is not None and any(part.name == "budget" for part in suspect.parts):
        evidence.append(_burn(suspect.service, burn, start_ns, end_ns))
    changed = suspect.node.finding.signatures[:_MOST_SERIES]
    evidence += [_signature(suspect.service, change, start_ns, end_ns) for change in changed]
    evidence += [_metric(suspect.service, move, snapshot) for move in suspect.node.finding.metrics[:_MOST_SERIES]]
    if suspect.standout is not None:
        evidence.append(_operation(suspect.service, suspect.standout, snapshot))
    if suspect.concentration is not None and suspect.instance is not None:
        evidence.append(_instances(suspect.service, suspect.concentration, snapshot))
    if suspect.node.finding.stop is not None:
        evidence.append(_stop(suspect, start_ns, end_ns))
    evidence += [_surge(suspect, part, start_ns, end_ns) for part in suspect.parts if part.name == "load"]
    if suspect.deploy is not None:
        evidence.append(_deploy(suspect))
    return evidence + _traces(suspect)


def _is_told_by_its_edge(pool: SeriesFinding, series: Sequence[SeriesFinding]) -> bool:
    """Tell whether a series of all callers together is that of the only one, which says who it is."""
    return pool.client is None and sum(f.kind is pool.kind and f.client is not None for f in series) == 1


def _series(suspect: Suspect, finding: SeriesFinding, start_ns: int, end_ns: int) -> Evidence:
    summary = series_in_words(suspect.service, finding.peak)
    is_edge = finding.kind in _EDGE_KINDS
    kind = "edge" if is_edge else "log_errors" if finding.kind is SeriesKind.LOG_ERRORS else "series"
    query = f"/api/v1/edges?at={end_ns}" if is_edge else _health(suspect.service, start_ns, end_ns)
    return Evidence(kind=kind, summary=summary, query=query, series=finding.peak)


def _burn(service: str, burn: SeriesFinding, start_ns: int, end_ns: int) -> Evidence:
    """Tell how fast the budget burns, with how it was spent since an hour before."""
    indicator = f"&indicator={burn.peak.name}" if burn.peak.name else ""
    span = f"start={start_ns - _HOUR_NS}&end={end_ns}"
    query = f"/api/v1/services/{quote(service, safe='')}/budget?{span}{indicator}"
    return Evidence(kind="series", summary=series_in_words(service, burn.peak), query=query, series=burn.peak)


def _signature(service: str, change: SignatureChange, start_ns: int, end_ns: int) -> Evidence:
    """Tell a changed error signature with its first line."""
    a_minute = 60 / change.pane_s
    lines = f"{plain(a_minute * change.series.value)} lines a minute, usually {plain(a_minute * change.series.median)}"
    said = change.sample or change.template
    return Evidence(
        kind="signature", summary=f"{service}: {change.change} {change.kind} ({lines}): {said}",
        query=f"/api/v1/services/{quote(service, safe='')}/signatures?start={start_ns}&end={end_ns}",
        series=change.series,
        trace_ids=[change.sample_trace_id] if change.sample_trace_id else [],
    )  # fmt: skip


def _metric(service: str, move: MetricFinding, snapshot: RankingSnapshot) -> Evidence:
    """Tell how far a metric went, with the question that returns its points and those of half an hour before."""
    query = _METRIC.format(
        tenant=_quoted(snapshot.tenant), service=_quoted(service), metric=_quoted(move.metric),
        start=snapshot.start_ns - _EARLIER_NS, end=snapshot.end_ns,
    )  # fmt: skip
    where = f" at {move.instance}" if move.instance else ""
    return Evidence(kind="series", summary=f"{service}{where}: {move_in_words(move)}", query=query)


def _instances(service: str, found: Concentration, snapshot: RankingSnapshot) -> Evidence:
    """Tell which instance stands out, with the question that counts the requests of all of them again."""
    query = _BY_INSTANCE.format(
        tenant=_quoted(snapshot.tenant), service=_quoted(service), start=snapshot.start_ns, end=snapshot.end_ns
    )
    return Evidence(kind="series", summary=f"{service}: {found.why}", query=query)


def _operation(service: str, found: Standout, snapshot: RankingSnapshot) -> Evidence:
    """Tell which operation stands out, with the question that counts the requests of all of them again."""
    query = _BY_OPERATION.format(
        tenant=_quoted(snapshot.tenant), service=_quoted(service), start=snapshot.start_ns, end=snapshot.end_ns
    )
    peak = found.finding.peak
    return Evidence(kind="series", summary=series_in_words(service, peak), query=query, series=peak)


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _stop(suspect: Suspect, start_ns: int, end_ns: int) -> Evidence:
    stop = suspect.node.finding.stop
    summary = series_in_words(suspect.service, stop) if stop else ""
    return Evidence(
        kind="series", summary=summary, query=_health(suspect.service, start_ns, end_ns), series=stop
    )  # fmt: skip


def _surge(suspect: Suspect, part: ScorePart, start_ns: int, end_ns: int) -> Evidence:
    """Tell how many more requests came than usual."""
    summary, query = f"{suspect.service}: {part.why}", _health(suspect.service, start_ns, end_ns)
    return Evidence(kind="series", summary=summary, query=query, series=suspect.node.finding.surge_peak)


def _deploy(suspect: Suspect) -> Evidence:
    deploy = suspect.deploy
    part = next((part for part in suspect.parts if part.name == "deploy"), None)
    query = f"/api/v1/deploys?service={quote(suspect.service, safe='')}"
    return Evidence(
        kind="deploy", summary=f"{deploy.service if deploy else ''}: {part.why if part else ''}", query=query
    )


def _traces(suspect: Suspect) -> list[Evidence]:
    exemplars = suspect.node.finding.exemplars
    found = [("failing", exemplars.failing), ("slow", exemplars.slow)]
    return [
        Evidence(
            kind="trace", summary=f"{name} requests of {suspect.service}", query=f"/api/v1/traces/{ids[0]}",
            trace_ids=ids[:_MOST_TRACES],
        )
        for name, ids in found
        if ids
    ]  # fmt: skip


def _health(service: str, start_ns: int, end_ns: int) -> str:
    return f"/api/v1/services/{quote(service, safe='')}/health?start={start_ns}&end={end_ns}"
