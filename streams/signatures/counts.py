"""Turn the shapes of a pane and of its window into counts of signatures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from schemas.health import SignatureCount
from streams.contents import SEVERITIES, SignatureKey, SignatureTally
from streams.signatures.templates import Template, TemplateTree, signature_id

MAX_SIGNATURES = 50
"""Signatures a ServiceHealth lists: those first seen latest, then those with most lines in the window."""

Shapes = Mapping[SignatureKey, SignatureTally]
Kind = Literal["log", "exception"]


def signature_counts(pane: Shapes, window: Shapes, tree: TemplateTree, window_start_ns: int) -> list[SignatureCount]:
    """Return the signatures of a window; the tree has learned its shapes, or has forgotten them."""
    templates: dict[str, Template] = {}
    kinds: dict[str, str] = {}
    totals: dict[str, SignatureTally] = {}
    in_pane: dict[str, int] = {}
    for key, tally in window.items():
        template = tree.template_of(key) or Template(signature_id(key), [key[1]], window_start_ns, window_start_ns)
        signature = template.signature
        templates[signature], kinds[signature] = template, key[0]
        totals.setdefault(signature, SignatureTally()).add(tally)
        in_pane[signature] = in_pane.get(signature, 0) + (pane[key].lines if key in pane else 0)
    ordered = sorted(totals, key=lambda one: (-templates[one].first_seen_ns, -totals[one].lines, one))
    return [
        _count(templates[one], cast(Kind, kinds[one]), in_pane[one], totals[one]) for one in ordered[:MAX_SIGNATURES]
    ]


def _count(template: Template, kind: Kind, in_pane: int, total: SignatureTally) -> SignatureCount:
    _, sample, trace_id = total.sample or (0, "", b"")
    return SignatureCount(
        signature=template.signature,
        kind=kind,
        template=template.text,
        severity=SEVERITIES[total.severity],
        pane=in_pane,
        window=total.lines,
        first_seen_ns=template.first_seen_ns,
        sample=sample,
        sample_trace_id=trace_id.hex(),
    )
