"""What is in a request: how many items, and how many have ids that nobody can use.

Refused items are forwarded all the same: behind the topic each is written to the reject table with its reason,
so the producer is told and the operator can look.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.message import Message

from api.otlp.signals import METRICS_SIGNAL, TRACES_SIGNAL, Signal

_ZERO_TRACE_ID: Final = bytes(16)
_ZERO_SPAN_ID: Final = bytes(8)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Items in all (metrics: data points), and how many of them are refused, with the reason in words."""

    items: int
    rejected: int = 0
    why: str = ""


def judged(request: Message, signal: Signal) -> Verdict:
    """Count the items of a request, and the spans among them whose ids are not ids."""
    items = rejected = 0
    for resource in getattr(request, signal.resources_field):
        for scope in getattr(resource, signal.scopes_field):
            found = getattr(scope, signal.items_field)
            items += data_points(found) if signal is METRICS_SIGNAL else len(found)
            if signal is TRACES_SIGNAL:
                rejected += sum(not _has_ids(span) for span in found)
    if not rejected:
        return Verdict(items)
    return Verdict(
        items,
        rejected,
        f"{rejected} of {items} spans have ids of a wrong length or of zeros (trace 16 bytes, span 8, parent 0 or 8).",
    )


def _has_ids(span: Any) -> bool:
    trace_id, span_id = span.trace_id, span.span_id
    return (
        len(trace_id) == 16
        and len(span_id) == 8
        and len(span.parent_span_id) in (0, 8)
        and trace_id != _ZERO_TRACE_ID
        and span_id != _ZERO_SPAN_ID
    )


def data_points(found: Any) -> int:
    """Return how many data points some metrics have."""
    count = 0
    for metric in found:
        kind = metric.WhichOneof("data")
        count += len(getattr(metric, kind).data_points) if kind else 0
    return count
