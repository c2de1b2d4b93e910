"""Who was looked at and is not blamed, and which numbers clear it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from schemas.deviations import SeriesKind
from schemas.incidents import RuledOut
from schemas.snapshots import SeriesFinding
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.suspects import Suspect
from streams.incidents.words import plain

_MOST_RULED_OUT = 12
_CLEAR = 0.3
"""Strength from which a series is called raised."""
_MUCH = 1.5
"""So many times the usual calls for an explanation."""
_WAITED_FOR = (SeriesKind.SELF_TIME, SeriesKind.ERROR_RATE, SeriesKind.LOG_ERRORS)


def ruled_out(suspects: Sequence[Suspect], listed: Sequence[Suspect], nodes: Nodes) -> list[RuledOut]:
    """Return the neighbours of those blamed, and who else was deployed, that are not blamed themselves."""
    names = {suspect.service for suspect in listed}
    near = {client for name in names for client in nodes[name].callers}
    near |= {callee.service for name in names for callee in nodes.callees(name)}
    changed = {suspect.service for suspect in suspects if suspect.change is not None}
    others = [s for s in suspects if s.service in (near | changed) - names]
    return [RuledOut(service=s.service, reason=_reason(s, nodes)) for s in others[:_MOST_RULED_OUT]]


def _reason(suspect: Suspect, nodes: Nodes) -> str:
    facts = list(_facts(suspect.node))
    if suspect.change is not None:
        facts.append(f"although {suspect.change.part().why}")
    waits_for = _slow_below(suspect.node, nodes)
    if waits_for:
        facts.append(f"it waits for {waits_for}")
    return ", ".join(facts)


def _facts(node: Node) -> Iterator[str]:
    found = node.finding
    errors = node.series.get((SeriesKind.ERROR_RATE, None)) or _worst(node, SeriesKind.EDGE_ERROR_RATE)
    normal = errors is None or errors.strength < _CLEAR
    yield f"own errors {'normal' if normal else 'raised'} ({found.errors} of {found.requests} requests)"
    for kind, what in ((SeriesKind.SELF_TIME, "own time"), (SeriesKind.P95, "p95")):
        series = node.series.get((kind, None))
        if series is not None:
            yield f"{what} {_change(series)}"
    for kind, what in ((SeriesKind.EDGE_LATENCY, "latency"), (SeriesKind.GAP, "network and queue time")):
        edge = _worst(node, kind)
        if edge is not None:
            yield f"{what} from {edge.client} {_change(edge)}"


def _worst(node: Node, kind: SeriesKind) -> SeriesFinding | None:
    found = [series for series in node.series.values() if series.kind is kind and series.client is not None]
    return max(found, key=lambda f: (f.strength, f.mean, f.client or ""), default=None)


def _change(series: SeriesFinding) -> str:
    """Return how far the mean since the onset is from normal: ``+3 %``; in milliseconds when normal is nothing.

    One large pane moves a mean far; where that is no evidence, it says so.
    """
    usual = series.peak.median
    moved = f"{plain(series.mean)} ms" if usual <= 0 else f"{100 * (series.mean / usual - 1):+,.0f} %"
    is_noise = series.strength < _CLEAR and usual > 0 and series.mean > _MUCH * usual
    return f"{moved} (within what chance does)" if is_noise else moved


def _slow_below(node: Node, nodes: Nodes) -> str | None:
    """Return the callee in trouble that explains why this node is slow or fails, if it is and there is one."""
    if max(node.strength(SeriesKind.P95), node.strength(SeriesKind.ERROR_RATE)) < _CLEAR:
        return None
    troubled = [(max(c.strength(kind) for kind in _WAITED_FOR), c.service) for c in nodes.callees(node.service)]
    strength, service = max(troubled, default=(0.0, ""))
    return service if strength >= _CLEAR else None
