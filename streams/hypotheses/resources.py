"""What the metrics of a service say: CPU, memory, queues, anything that left its own past more than elsewhere."""

from __future__ import annotations

import math
from collections.abc import Iterator

from schemas.snapshots import MetricFinding, NodeFinding
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.parts import Part
from streams.incidents.words import plain

_MOST = 1.0
_MOST_NAMED = 3
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB")


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
    """Return how far a metric went: ``process.cpu.time 0.81 s/s (usually 0.013 s/s), state=user``."""
    what = f"{move.metric} {_amount(move, move.value)} (usually {_amount(move, move.usual)})"
    which = [f"{key}={value}" for key, value in sorted(move.attributes.items())]
    return ", ".join([what, *which])


def _amount(move: MetricFinding, value: float) -> str:
    """Return a value with its unit (UCUM, as OTLP has it): bytes in binary multiples, the unit ``1`` left out."""
    unit = "" if move.unit == "1" else move.unit
    if unit == "By":
        steps = min(len(_BYTES) - 1, int(math.log2(max(abs(value), 1.0)) // 10))
        value, unit = value / 1024**steps, _BYTES[steps]
    unit = f"{unit}/s" if move.is_rate else unit
    return f"{plain(value)} {unit}".rstrip() if not unit.startswith("/") else f"{plain(value)}{unit}"
