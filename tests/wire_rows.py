"""Many spans of one shape as OTLP at the price of a few: all fields have fixed widths, so they are columns of bytes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

Ints = NDArray[np.int64]
_MARKS = [bytes([mark]) * 8 for mark in (0xA1, 0xA2, 0xA3, 0xA4, 0xA5)]
"""Stand in the pattern of a shape for trace, span, parent, start and end."""


def pairs(text: Mapping[str, str]) -> list[KeyValue]:
    """Return attributes of text."""
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in text.items()]


def span_rows(
    name: str, kind: int, ids: Sequence[Ints], times_ns: Sequence[Ints], failed: bool, attributes: Mapping[str, str]
) -> bytes:
    """Return spans as fields of a `ScopeSpans`. `ids` are traces, spans and parents; of roots no parents are given."""
    start, end = (int.from_bytes(mark, "little") for mark in _MARKS[3:])
    pattern = Span(
        trace_id=bytes(8) + _MARKS[0], span_id=_MARKS[1], parent_span_id=_MARKS[2] if len(ids) == 3 else b"", name=name,
        kind=kind, start_time_unix_nano=start, end_time_unix_nano=end, attributes=pairs(attributes),
        status=Status(code=Status.STATUS_CODE_ERROR) if failed else None,
    ).SerializeToString()  # fmt: skip
    pattern = field(2, pattern)
    rows = np.tile(np.frombuffer(pattern, np.uint8), (len(ids[0]), 1))
    marks = [*_MARKS[: len(ids)], *_MARKS[3:]]
    for mark, column in zip(marks, [*ids, *times_ns], strict=True):
        at = pattern.index(mark)
        rows[:, at : at + 8] = np.ascontiguousarray(column, "<i8").view(np.uint8).reshape(-1, 8)
    return rows.tobytes()


def traces_request(groups: Iterable[tuple[Mapping[str, str], bytes]]) -> bytes:
    """Return an ``ExportTraceServiceRequest``: attributes of each resource, and its rows."""
    return b"".join(
        field(1, field(1, Resource(attributes=pairs(resource)).SerializeToString()) + field(2, rows))
        for resource, rows in groups
    )


def field(number: int, value: bytes) -> bytes:
    """Return a field of bytes, with its tag and its length."""
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _varint(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*encoded, value])
