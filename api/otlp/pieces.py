"""Records of a size that topics and workers take: a large request is cut into several, between items."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.message import Message

from api.otlp.signals import Signal
from api.problems import Problem, Slug

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
    return size_bytes <= PIECE_BYTES and items <= PIECE_ITEMS and resources <= PIECE_RESOURCES


def pieces_of(request: Message, signal: Signal) -> list[bytes]:
    """Cut the request into protobuf records; none when it holds no items. The request is used up by it.

    Raises `Problem` (413) when one item alone is more than the topic takes, or all of them more than `PIECES_BYTES`.
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
        self._begin()

    def _begin(self) -> None:
        self._record: Any = self._request_class()
        self._wrapped: Any = None
        self._target: Any = None
        self._size_bytes = self._items = self._wrappings = 0

    def add(self, resource: Any, scope: Any, item: Any) -> None:
        """Add one item of a scope of a resource."""
        size_bytes = item.ByteSize() + _FRAME_BYTES
        wrapping_bytes = 0 if self._wrapped is scope else _wrapping_size(resource, scope)
        if self._items and self._is_full(size_bytes + wrapping_bytes):
            self._end()
        if self._wrapped is not scope:
            self._wrap(resource, scope)
        self._target.append(item)
        self._size_bytes += size_bytes
        self._items += 1

    def finished(self) -> list[bytes]:
        """Return all records."""
        if self._items:
            self._end()
        return self._records

    def _is_full(self, more_bytes: int) -> bool:
        return (
            self._size_bytes + more_bytes > PIECE_BYTES
            or self._items >= PIECE_ITEMS
            or self._wrappings >= PIECE_RESOURCES
        )

    def _wrap(self, resource: Any, scope: Any) -> None:
        new_resource = getattr(self._record, self._signal.resources_field).add()
        new_resource.CopyFrom(resource)
        new_scope = getattr(new_resource, self._signal.scopes_field).add()
        new_scope.CopyFrom(scope)
        self._wrapped, self._target = scope, getattr(new_scope, self._signal.items_field)
        self._size_bytes += _wrapping_size(resource, scope)
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
