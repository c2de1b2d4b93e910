"""Cut single items out of a request: what remains is a request of its own, with their resources and scopes.

Items are numbered as everywhere: spans, log records or metric points of a message, from 0, in wire order. Fields that
our slim reading does not know are kept as they came.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from streams.otlp.columns import Signal
from streams.otlp.slim import METRIC_TYPES, LogRequest, MetricRequest, TraceRequest, parse

_READINGS: dict[Signal, tuple[Any, str]] = {
    Signal.TRACES: (TraceRequest, "spans"),
    Signal.LOGS: (LogRequest, "records"),
    Signal.METRICS: (MetricRequest, "metrics"),
}


def cut_items(signal: Signal, payload: bytes, items: Collection[int]) -> bytes:
    """Return a request with only these items of ``payload``. Raises `BadPayload` (``decode``) when it is none."""
    message_class, field = _READINGS[signal]
    request = parse(message_class, payload)
    wanted, first = frozenset(items), 0
    for resource in request.resources:
        for scope in resource.scopes:
            held = getattr(scope, field)
            cut = _cut_metrics if signal is Signal.METRICS else _keep
            first = cut(held, wanted, first)
        _keep_where(resource.scopes, lambda scope: len(getattr(scope, field)) > 0)
    _keep_where(request.resources, lambda resource: len(resource.scopes) > 0)
    return bytes(request.SerializeToString())


def cut_into_pieces(
    signal: Signal, payload: bytes, items: list[int], limit_bytes: int
) -> Iterator[tuple[list[int], bytes]]:
    """Yield ``(items, request)`` pairs that hold all ``items``, each within ``limit_bytes`` unless it is one item."""
    piece = cut_items(signal, payload, items)
    if len(piece) <= limit_bytes or len(items) == 1:
        yield items, piece
        return
    middle = len(items) // 2
    for part, places in ((items[:middle], range(middle)), (items[middle:], range(middle, len(items)))):
        for inner, request in cut_into_pieces(signal, piece, list(places), limit_bytes):
            yield [part[place - places.start] for place in inner], request


def _cut_metrics(metrics: Any, wanted: frozenset[int], first: int) -> int:
    for metric in metrics:
        for kind in METRIC_TYPES:
            first = _keep(getattr(metric, kind).points, wanted, first) if metric.HasField(kind) else first
    _keep_where(metrics, lambda metric: any(len(getattr(metric, kind).points) for kind in METRIC_TYPES))
    return first


def _keep(held: Any, wanted: frozenset[int], first: int) -> int:
    """Keep the wanted of consecutive items of which ``first`` is the number of the first; return the next number."""
    count = len(held)
    kept = [held[place] for place in range(count) if first + place in wanted]
    if len(kept) < count:
        _replace(held, kept)
    return first + count


def _keep_where(held: Any, condition: Any) -> None:
    kept = [one for one in held if condition(one)]
    if len(kept) < len(held):
        _replace(held, kept)


def _replace(held: Any, kept: list[Any]) -> None:
    copies = [one if isinstance(one, bytes) else _copy(one) for one in kept]
    del held[:]
    held.extend(copies)


def _copy(message: Any) -> Any:
    twin = type(message)()
    twin.CopyFrom(message)
    return twin
