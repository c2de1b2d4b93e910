"""What the metrics of a service say: CPU, memory, queues, anything that left its own past more than elsewhere."""

from __future__ import annotations

from collections.abc import Iterator

from schemas.snapshots import MetricFinding, NodeFinding
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.parts import Part

_MOST = 1.0
_MOST_NAMED = 3


def metric_parts(node: Node, nodes: Nodes) -> Iterator[Part]:
    """Yield ``metrics``: how much farther its farthest metric moved than any of another service.

    A fault moves metrics of many services, by its load and its waiting; most where it is. What moves as far somewhere
    else tells nothing.
    """
    if not node.finding.metrics:
        return
    elsewhere = max((_farthest(other.finding) for other in nodes if other.service != node.service), default=0.0)
    lead = min(_MOST, _farthest(node.finding) - elsewhere)
    yield Part("metrics", max(0.0, lead), "; ".join(map(move_in_words, node.finding.metrics[:_MOST_NAMED])))


def _farthest(finding: NodeFinding) -> float:
    return max((one.strength for one in finding.metrics), default=0.0)


def move_in_words(move: MetricFinding) -> str:
    """Return how far a metric went: ``process.cpu.time 0.81 s/s (usually 0.013), state=user``."""
    unit = f"{move.unit}/s" if move.is_rate else move.unit
    what = f"{move.metric} {move.value:.3g}{' ' if unit else ''}{unit} (usually {move.usual:.3g})"
    which = [f"{key}={value}" for key, value in sorted(move.attributes.items())]
    return ", ".join([what, *which])
