"""What a service has begun to say: error signatures that are new or more frequent since the onset."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.deviations import SignatureChange
from schemas.snapshots import NodeFinding
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.parts import Part

_WORTH = {"new": 1.0, "rising": 0.5}
_GRAVE = ("error", "fatal")
_MILD = 0.5
"""What a line below the severity of an error is worth."""
_EXPLAINED = 0.7
"""How much of it a callee that says as much explains away."""
_MOST_CHARS = 120
_EARLIER_NS = 120 * 1_000_000_000
"""Lines may tell of a fault before anything is slow; what changed longer before the onset has another cause."""


def novelty_parts(node: Node, nodes: Nodes, onset_ns: int) -> Iterator[Part]:
    """Yield ``new_signature``, unless a callee explains it: the deepest service that complains leads."""
    value, lead = novelty(node.finding, onset_ns)
    if lead is None:
        return
    below = max((novelty(callee.finding, onset_ns)[0] for callee in nodes.callees(node.service)), default=0.0)
    value *= 1.0 - _EXPLAINED * min(1.0, below / value)
    yield Part("new_signature", value, f"{lead.change} {lead.kind}: {_shortened(lead.template)}")


def novelty(finding: NodeFinding, onset_ns: int) -> tuple[float, SignatureChange | None]:
    """Return what the clearest change of the node's signatures since about the onset is worth, and which it is."""
    since_ns = onset_ns - _EARLIER_NS
    recent = [one for one in finding.signatures if (one.series.since_ns or 0) >= since_ns]
    worth = [(_worth(change), change) for change in recent if change.change in _WORTH]
    value, lead = max(worth, key=lambda pair: (pair[0], pair[1].series.name or ""), default=(0.0, None))
    return (value, lead) if value > 0 else (0.0, None)


def _shortened(text: str) -> str:
    """Return the whole words that there is room for."""
    return text if len(text) <= _MOST_CHARS else text[:_MOST_CHARS].rpartition(" ")[0] + " …"


def _worth(change: SignatureChange) -> float:
    grave = 1.0 if change.kind == "exception" or change.severity in _GRAVE else _MILD
    return _WORTH[change.change] * grave * min(1.0, change.series.evidence)
