"""Records of a size that topics and workers take: a large request is cut into several, between items."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from api.otlp.judging import data_points
from api.otlp.signals import METRICS_SIGNAL, Signal
from api.problems import Problem, Slug
from schemas.crowding import MOST_REPEATED_BYTES

PIECE_BYTES: Final = 1_000_000
"""A larger request is cut: below a broker's usual ``max.message.bytes``."""

PIECE_ITEMS: Final = 10_000
PIECE_RESOURCES: Final = 500

PIECES_BYTES: Final = 64 * 1024 * 1024
"""Of all pieces of a request: each repeats the resource and the scope of its items, and one of these may be so large
that a piece takes a single item."""

RECORD_ROOM_BYTES: Final = 2_048
"""What a record needs besides its value."""

_FRAME_BYTES: Final = 8
"""Tag and length of one message inside another, at most (below 256 MiB)."""


def is_small(request: Message, size_bytes: int, items: int, signal: Signal) -> bool:
    """Tell whether the request fits one record as it is."""
    resources = len(getattr(request, signal.resources_field))
    fits = size_bytes <= PIECE_BYTES and items <= PIECE_ITEMS and resources <= PIECE_RESOURCES
    return fits and (size_bytes * items <= MOST_REPEATED_BYTES or _repeated(request, signal) <= MOST_REPEATED_BYTES)


def pieces_of(request: Message, signal: Signal) -> list[bytes]:
    """Cut the request into protobuf records; none when it holds no items. The request is used up by it.

    No record unfolds to more than workers take: what its items share is stored with each of them. Raises `Problem`
    (413) when one item alone is more than the topic or a worker takes, or all of them more than `PIECES_BYTES`.
    """
    packer = _Packer(signal, type(request))
    for resource in getattr(request, signal.resources_field):
        for scope in _taken_out(resource, signal.scopes_field):
            for item in _taken_out(scope, signal.items_field):
                packer.add(resource, scope, item)
    return packer.finished()


def _taken_out(holder: Any, field: str) -> list[Any]:
    """Return what the field holds and empty it: the rest is the wrapping that every piece repeats."""
    found = list(getattr(holder, field))
    holder.ClearField(field)
    return found


class _Packer:
    """Fills one record after the other; every run of items gets its resource and scope around it."""

    def __init__(self, signal: Signal, request_class: type[Message]) -> None:
        self._signal = signal
        self._request_class = request_class
        self._limit_bytes = signal.topic.max_message_bytes - RECORD_ROOM_BYTES
        self._records: list[bytes] = []
        self._records_bytes = 0
        self._of: Any = None
        self._wrapping_bytes = 0
        self._begin()

    def _begin(self) -> None:
        self._record: Any = self._request_class()
        self._wrapped: Any = None
        self._target: Any = None
        self._size_bytes = self._items = self._wrappings = self._repeated_bytes = 0

    def add(self, resource: Any, scope: Any, item: Any) -> None:
        """Add one item of a scope of a resource."""
        size_bytes = item.ByteSize() + _FRAME_BYTES
        if self._of is not scope:
            self._of, self._wrapping_bytes = scope, _wrapping_size(resource, scope)
        wrapping_bytes = 0 if self._wrapped is scope else self._wrapping_bytes
        repeated_bytes = _repeated_of_item(item, self._wrapping_bytes, self._signal) + wrapping_bytes
        if self._items and self._is_full(size_bytes + wrapping_bytes, repeated_bytes):
            self._end()
            repeated_bytes += self._wrapping_bytes
        if repeated_bytes > MOST_REPEATED_BYTES:
            raise Problem(Slug.TOO_LARGE, "A resource, scope or metric is too large to be stored with each data point.")
        if self._wrapped is not scope:
            self._wrap(resource, scope)
        self._target.append(item)
        self._size_bytes += size_bytes
        self._repeated_bytes += repeated_bytes
        self._items += 1

    def finished(self) -> list[bytes]:
        """Return all records."""
        if self._items:
            self._end()
        return self._records

    def _is_full(self, more_bytes: int, more_repeated_bytes: int) -> bool:
        return (
            self._size_bytes + more_bytes > PIECE_BYTES
            or self._repeated_bytes + more_repeated_bytes > MOST_REPEATED_BYTES
            or self._items >= PIECE_ITEMS
            or self._wrappings >= PIECE_RESOURCES
        )

    def _wrap(self, resource: Any, scope: Any) -> None:
        new_resource = getattr(self._record, self._signal.resources_field).add()
        new_resource.CopyFrom(resource)
        new_scope = getattr(new_resource, self._signal.scopes_field).add()
        new_scope.CopyFrom(scope)
        self._wrapped, self._target = scope, getattr(new_scope, self._signal.items_field)
        self._size_bytes += self._wrapping_bytes
        self._wrappings += 1

    def _end(self) -> None:
        record = self._record.SerializeToString()
        if len(record) > self._limit_bytes:
            raise Problem(Slug.TOO_LARGE, f"One item is larger than a record may be ({self._limit_bytes} bytes).")
        self._records_bytes += len(record)
        if self._records_bytes > PIECES_BYTES:
            raise Problem(
                Slug.TOO_LARGE, "A resource or scope is too large to be repeated for every piece of its items."
            )
        self._records.append(record)
        self._begin()


def _wrapping_size(resource: Any, scope: Any) -> int:
    return int(resource.ByteSize() + scope.ByteSize()) + 2 * _FRAME_BYTES


def _repeated(request: Any, signal: Signal) -> int:
    """Return how much of a request is stored with each of its items, as often as it is (`streams.otlp.repeating`)."""
    found = 0
    for resource in getattr(request, signal.resources_field):
        resource_bytes = resource.resource.ByteSize() + len(resource.schema_url) + 2 * _FRAME_BYTES
        for scope in getattr(resource, signal.scopes_field):
            wrapping_bytes = resource_bytes + scope.scope.ByteSize() + len(scope.schema_url) + 2 * _FRAME_BYTES
            items = getattr(scope, signal.items_field)
            if signal is METRICS_SIGNAL:
                found += sum(_repeated_of_item(item, wrapping_bytes, signal) for item in items)
            else:
                found += wrapping_bytes * len(items)
            found += resource_bytes
    return int(found)


def _repeated_of_item(item: Any, wrapping_bytes: int, signal: Signal) -> int:
    """Return how much is stored with an item; of a metric with each of its points, and so is its own text."""
    if signal is not METRICS_SIGNAL:
        return wrapping_bytes
    points = data_points([item])
    own_bytes = len(item.name) + len(item.description) + len(item.unit) + 4 * _FRAME_BYTES
    own_bytes += sum(int(one.ByteSize()) + _FRAME_BYTES for one in item.metadata)
    return wrapping_bytes * (points + 1) + own_bytes * points
