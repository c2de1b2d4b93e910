"""Tell whether bytes that make no sense as one signal make sense as another.

A parse proves nothing: a logs request parses as one odd span. This is asked only when a message as a whole
is suspicious, so it may parse again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from schemas.crowding import has_more_fields
from schemas.errors import BadPayload, RejectReason
from streams.otlp.columns import INT64_MAX, MAX_FIELDS, Signal
from streams.otlp.slim import LogRequest, MetricRequest, TraceRequest, parse

_YEAR_2000_NS = 946_684_800_000_000_000


def _is_span(span: Any) -> bool:
    return len(span.trace_id) == 16 and len(span.span_id) == 8


def _is_record(record: Any) -> bool:
    return any(_YEAR_2000_NS < instant_ns <= INT64_MAX for instant_ns in (record.time_ns, record.observed_ns))


def _is_metric(metric: Any) -> bool:
    if not metric.name or len(metric.name) == 16:
        return False
    data = (metric.gauge, metric.sum, metric.histogram, metric.exponential_histogram, metric.summary)
    return any(part.points for part in data)


_LOOKS: dict[Signal, tuple[Any, str, Callable[[Any], bool]]] = {
    Signal.TRACES: (TraceRequest, "spans", _is_span),
    Signal.LOGS: (LogRequest, "records", _is_record),
    Signal.METRICS: (MetricRequest, "metrics", _is_metric),
}


def looks_like(signal: Signal, payload: bytes) -> bool:
    """Tell whether some item of ``payload`` is sound when read as ``signal``."""
    message_class, items, is_sound = _LOOKS[signal]
    try:
        request = parse(message_class, payload)
    except BadPayload:
        return False
    return any(
        is_sound(item) for resource in request.resources for scope in resource.scopes for item in getattr(scope, items)
    )


def refuse_other_signals(expected: Signal, payload: bytes) -> None:
    """Raise `BadPayload` (``wrong_signal``) if the payload is sound as a signal other than ``expected``."""
    for signal in Signal:
        if signal is not expected and looks_like(signal, payload):
            raise BadPayload(RejectReason.WRONG_SIGNAL, f"a {signal} request where {expected} were expected")


def parse_as(expected: Signal, payload: bytes) -> Any:
    """Parse a request of a signal; raises `BadPayload` (``decode``, ``wrong_signal``, ``too_many_items``)."""
    if has_more_fields(payload, MAX_FIELDS):
        raise BadPayload(RejectReason.TOO_MANY_ITEMS, f"more than {MAX_FIELDS} items and what is around them")
    try:
        return parse(_LOOKS[expected][0], payload)
    except BadPayload:
        refuse_other_signals(expected, payload)
        raise
