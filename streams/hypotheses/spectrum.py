"""Which node the bad traces have in common, and where they failed first.

Spectrum-based fault localisation takes nodes for components and traces for runs. A node's similarity to the bad traces
is Ochiai's: bad traces through it / sqrt(all bad traces x all traces through it) (Abreu, Zoeteweij, van Gemund:
TAICPART 2007, where it did best). Bad traces are failing and slow ones beyond what was usual before the onset, so
chronic trouble counts for nothing. A node that every trace passes has the similarity sqrt(share of bad ones): it is
not exonerated, but one that only bad traces pass has more.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

from schemas.snapshots import PassageFinding, TraceCounts
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.parts import Part

_LEAST_BAD = 3.0
_LEAST_SCALES = 3.0
"""An excess counts when it is this many standard deviations (Poisson) above what was usual."""


def spectrum_parts(node: Node, nodes: Nodes) -> Iterator[Part]:
    """Yield ``origin`` and ``spectrum``."""
    yield _origin(node)
    similarity, why = max(
        (_similarity(node, nodes, what, count) for what, count in (("failing", _failing), ("slow", _slow))),
        default=(0.0, ""),
    )
    yield Part("spectrum", similarity, why)


def _origin(node: Node) -> Part:
    """Say how many of the traces through the node newly fail first in it, on the scale of an error rate's rise."""
    traces = sum(passage.since.traces for passage in node.finding.passages)
    origins = sum(excess(passage, _origins) for passage in node.finding.passages)
    failing = sum(excess(passage, _failing) for passage in node.finding.passages)
    if not traces or origins < _LEAST_BAD:
        return Part("origin", 0.0, "")
    share = min(1.0, origins / max(failing, origins))
    value = 2.0 * math.sqrt(origins / traces) * share
    return Part("origin", value, f"{origins:.0f} of {traces} traces through it fail first in it")


def _similarity(node: Node, nodes: Nodes, what: str, count: Callable[[TraceCounts], int]) -> tuple[float, str]:
    """Return Ochiai's coefficient for the entry whose bad traces are most, and what it says."""
    best = (0.0, 0.0, "")
    for passage in node.finding.passages:
        total = _at_entry(nodes, passage.entry)
        bad = excess(total, count) if total else 0.0
        if total is None or bad < _LEAST_BAD or not passage.since.traces:
            continue
        through = min(bad, excess(passage, count))
        value = through / math.sqrt(bad * passage.since.traces)
        why = f"{through:.0f} of {bad:.0f} {what} traces pass through it, of {passage.since.traces} that do"
        best = max(best, (bad, value, why))
    return best[1], best[2]


def bad_in_words(node: Node) -> str:
    """Return how the traces through a node are bad beyond what was usual: ``slow``, ``failing``, or both."""
    kinds = {"slow": _slow, "failing": _failing}
    found = [name for name, count in kinds.items() if any(excess(one, count) for one in node.finding.passages)]
    return " and ".join(found or kinds)


def excess(passage: PassageFinding, count: Callable[[TraceCounts], int]) -> float:
    """Return how many more traces are bad since the onset than were to be expected; 0 when that may be chance."""
    expected = 0.0
    if passage.before.traces:
        expected = count(passage.before) / passage.before.traces * passage.since.traces
    more = count(passage.since) - expected
    return more if more > _LEAST_SCALES * math.sqrt(expected + 1.0) else 0.0


def _at_entry(nodes: Nodes, entry: str) -> PassageFinding | None:
    node = nodes.get(entry)
    own = node.finding.passages if node else []
    return next((passage for passage in own if passage.entry == entry), None)


def _failing(counts: TraceCounts) -> int:
    return counts.failing


def _slow(counts: TraceCounts) -> int:
    return counts.slow


def _origins(counts: TraceCounts) -> int:
    return counts.origins
