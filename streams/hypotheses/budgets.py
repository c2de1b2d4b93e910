"""Who is suspected where nothing deviates but a budget: whoever burns it, and where its failing requests fail first.

What fails or is slow all day deviates from no past of its own, so no other part speaks. What is left to go by is no
comparison but a fact: whose budget it is, and in whom the failing traces that pass through fail first.
"""

from __future__ import annotations

from collections.abc import Mapping

from schemas.deviations import SeriesKind
from schemas.snapshots import SeriesFinding
from streams.hypotheses.nodes import Node, Nodes
from streams.hypotheses.parts import Part
from streams.slo import LATENCY

_BURNER, _UNEXPLAINED = 0.5, 0.3
_LEAST_FAILING = 3


def burn_of(node: Node) -> SeriesFinding | None:
    """Return the budget of the node that burns too fast by any rule, if there is one."""
    found = node.series.get((SeriesKind.BURN_RATE, None))
    return found if found is not None and found.evidence >= 1.0 else None


def budget_part(node: Node, nodes: Nodes, burners: Mapping[str, SeriesFinding]) -> Part:
    """Return ``budget``: the share of failing traces through the node that fail first in it, of a burner half at least.

    `burners` are the budgets of the incident, by service. One whose callee burns the same budget is hardly to blame for
    it, and failing traces say nothing of slow ones.
    """
    share, why = _origins(node) if any(burn.peak.name != LATENCY for burn in burners.values()) else (0.0, "")
    own = burners.get(node.service)
    if own is None:
        return Part("budget", share, why)
    below = [burners[one.service] for one in nodes.callees(node.service) if one.service in burners]
    burner = _BURNER * (_UNEXPLAINED if any(burn.peak.name == own.peak.name for burn in below) else 1.0)
    if share >= burner:
        return Part("budget", share, why)
    return Part("budget", burner, f"burns its {own.peak.name or 'error'} budget {own.peak.value:.3g} times too fast")


def _origins(node: Node) -> tuple[float, str]:
    failing = sum(passage.since.failing for passage in node.finding.passages)
    origins = sum(passage.since.origins for passage in node.finding.passages)
    if failing < _LEAST_FAILING:
        return 0.0, ""
    return origins / failing, f"{origins} of {failing} failing traces through it fail first in it"
