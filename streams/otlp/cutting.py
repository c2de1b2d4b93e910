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
    signal: Signal, payload: bytes, items: list[int], limit_bytes: int, most_bytes: int
) -> Iterator[tuple[list[int], bytes]]:
    """Yield ``(items, request)`` pairs that hold all ``items``, each within ``limit_bytes`` unless it is one item.

    Each repeats what its items share. Once they have ``most_bytes`` together (of each `limit_bytes` count), all further
    items are one last pair, however large.
    """
    waiting = [(items, cut_items(signal, payload, items))]
    kept_bytes = 0
    while waiting:
        part, request = waiting.pop()
        if kept_bytes >= most_bytes:
            rest = [item for held, _ in ((part, request), *reversed(waiting)) for item in held]
            yield rest, cut_items(signal, payload, rest)
            return
        if len(request) <= limit_bytes or len(part) == 1:
            kept_bytes += min(len(request), limit_bytes)
            yield part, request
        else:
            middle = len(part) // 2
            for places in (range(middle, len(part)), range(middle)):
                waiting.append((part[places.start : places.stop], cut_items(signal, request, places)))


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
