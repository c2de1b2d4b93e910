"""What requests come and go: a stop, a surge at the door."""

from __future__ import annotations

import math
from collections.abc import Iterator

from streams.hypotheses.failures import failing
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.parts import Part
from streams.incidents.words import amount

_SURGE_SCALES = 3.0
_FOLLOWS = 0.2
"""What a stop is worth that a caller in trouble explains."""


def traffic_parts(node: Node, nodes: Nodes) -> Iterator[Part]:
    """Yield ``stopped`` and ``load``."""
    found = node.finding
    if found.stop is not None:
        follows = any(c.finding.stop is not None or failing(c) > 0 for c in nodes.callers(node.service))
        why = f"requests stopped, normally {amount(found.stop.median, 'per_s')}"
        yield Part("stopped", _FOLLOWS if follows else 1.0, why)
    if found.is_entry and found.surge > _SURGE_SCALES:
        value = min(3.0, math.log10(found.surge / _SURGE_SCALES))
        yield Part("load", value, f"requests {found.surge:.0f} scales above normal at the door")
