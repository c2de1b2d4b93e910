"""An experiment: spans as a block of ClickHouse's Native format, made by compiled code (docs/adr/0021).

::

    message ─▶ list ─▶ resource: its pairs, once ─┐
                  └──▶ scope ─▶ span ─▶ a row ◀───┘ ─▶ columns ─▶ INSERT INTO spans FORMAT Native

It shows what the landing could cost, and is not the landing: attributes are strings and integers, events, links, scopes
and marks are left out, a resource comes before its scopes, and what is malformed or has a bad id is not told apart.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sinks.clickhouse.framing import RawRow, varint
from streams.kernels.compiled import compiled
from streams.kernels.wire import MALFORMED, little_endian, read_size, read_tag, read_varint, skip_value

Bytes = NDArray[np.uint8]

KINDS = "Enum8('empty' = 0, 'string' = 1, 'bool' = 2, 'int' = 3, 'double' = 4, 'array' = 5, 'map' = 6, 'bytes' = 7)"
TIME = "DateTime64(9, 'UTC')"
DAY_NS, AHEAD_NS = 86_400_000_000_000, 600_000_000_000

STRING, INTEGER = 1, 3
START, END, KIND, STATUS, MESSAGE, ITEM = range(6)
KEYS, VALUES, TYPE_KEYS, TYPES, PAIRS = range(5)
ROWS, NAMES, SERVICES = range(3)
SERVICE_NAME = np.frombuffer(b"\x0cservice.name", np.uint8)


class Pairs(NamedTuple):
    """Two map columns under construction: the texts of attributes, and the types of those that are no strings."""

    keys: Bytes
    values: Bytes
    ends: NDArray[np.uint64]
    type_keys: Bytes
    types: NDArray[np.int8]
    type_ends: NDArray[np.uint64]
    used: NDArray[np.int64]


class Block(NamedTuple):
    """The other columns: trace, span and parent id in one, numbers by place, texts with their lengths before them."""

    ids: Bytes
    numbers: NDArray[np.int64]
    names: Bytes
    services: Bytes
    used: NDArray[np.int64]


@compiled
def put_text(column, used, data, begin, end):
    """Append bytes with their length before them; return how much is used then."""
    size = end - begin
    while size > 0x7F:
        column[used] = size & 0x7F | 0x80
        used += 1
        size >>= 7
    column[used] = size
    used += 1
    for at in range(begin, end):
        column[used + at - begin] = data[at]
    return used + end - begin


@compiled
def put_integer(column, used, number):
    """Append an integer as text."""
    rest, digits = abs(number), 1
    while rest >= 10:
        rest //= 10
        digits += 1
    sign = 1 if number < 0 else 0
    column[used], column[used + 1] = digits + sign, ord("-")
    rest, at = abs(number), used + sign + digits
    for place in range(digits):
        column[at - place] = ord("0") + rest % 10
        rest //= 10
    return at + 1


@compiled
def put_pair(data, at, end, pairs):
    """Append one KeyValue; return a position below 0 when it is malformed."""
    used, key, value, kind, number = pairs.used, (at, at), (at, at), 0, np.int64(0)
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if tag == 0x0A:
            key = read_size(data, at, end)
            at = key[1]
        elif tag == 0x12:
            at, until = read_size(data, at, end)
            while 0 <= at < until:
                tag, at = read_tag(data, at, until)
                if tag == 0x0A:
                    value, kind = read_size(data, at, until), STRING
                    at = value[1]
                elif tag == 0x18:
                    found, at = read_varint(data, at, until)
                    number, kind = np.int64(found), INTEGER
                else:
                    at = MALFORMED
        else:
            at = MALFORMED
    if at < 0:
        return at
    used[KEYS] = put_text(pairs.keys, used[KEYS], data, key[0], key[1])
    used[PAIRS] += 1
    if kind == STRING:
        used[VALUES] = put_text(pairs.values, used[VALUES], data, value[0], value[1])
        return at
    used[VALUES] = put_integer(pairs.values, used[VALUES], number)
    used[TYPE_KEYS] = put_text(pairs.type_keys, used[TYPE_KEYS], data, key[0], key[1])
    pairs.types[used[TYPES]] = kind
    used[TYPES] += 1
    return at


@compiled
def put_span(data, at, end, block, attributes):
    """Append one span, but for what it has of its resource."""
    row = block.used[ROWS]
    block.ids[row], block.numbers[row] = 0, 0
    name = (at, at)
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if tag in (0x0A, 0x12, 0x22):
            begin, at = read_size(data, at, end)
            place = 0 if tag == 0x0A else 16 if tag == 0x12 else 24
            for index in range(min(at - begin, 16 if tag == 0x0A else 8)):
                block.ids[row, place + index] = data[begin + index]
        elif tag == 0x2A:
            name = read_size(data, at, end)
            at = name[1]
        elif tag in (0x39, 0x41) and end - at >= 8:
            block.numbers[row, START if tag == 0x39 else END] = np.int64(little_endian(data, at))
            at += 8
        elif tag == 0x30:
            found, at = read_varint(data, at, end)
            block.numbers[row, KIND] = np.int64(found)
        elif tag == 0x4A:
            begin, until = read_size(data, at, end)
            at = until if until < 0 else put_pair(data, begin, until, attributes)
        elif tag == 0x7A:
            begin, at = read_size(data, at, end)
            block.numbers[row, STATUS] = status_code(data, begin, at)
        elif at >= 0:
            at = skip_value(data, at, end, tag)
    block.used[NAMES] = put_text(block.names, block.used[NAMES], data, name[0], name[1])
    attributes.ends[row], attributes.type_ends[row] = attributes.used[PAIRS], attributes.used[TYPES]
    block.used[ROWS] += 1
    return at


@compiled
def status_code(data, at, end):
    """Return the code in a Status."""
    code = np.int64(0)
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if tag == 0x18:
            found, at = read_varint(data, at, end)
            code = np.int64(found)
        elif at >= 0:
            at = skip_value(data, at, end, tag)
    return code


@compiled
def put_resource(data, at, end, resource):
    """Put the attributes of a list's resource in place of those of the list before it."""
    resource.used[:] = 0
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        begin, until = read_size(data, at, end)
        if tag == 0x0A and until >= 0:
            at = put_pair(data, begin, until, resource)
        elif at >= 0:
            at = skip_value(data, at, end, tag)
    return at


@compiled
def copy(source, size, target, used):
    """Append the first ``size`` of one column to another; return how much is used then."""
    for at in range(size):
        target[used + at] = source[at]
    return used + size


@compiled
def repeat_resource(resource, block, repeated):
    """Append what the newest span has of its resource."""
    row, new, used = block.used[ROWS] - 1, resource.used, repeated.used
    used[KEYS] = copy(resource.keys, new[KEYS], repeated.keys, used[KEYS])
    used[VALUES] = copy(resource.values, new[VALUES], repeated.values, used[VALUES])
    used[TYPE_KEYS] = copy(resource.type_keys, new[TYPE_KEYS], repeated.type_keys, used[TYPE_KEYS])
    used[TYPES] = copy(resource.types, new[TYPES], repeated.types, used[TYPES])
    used[PAIRS] += new[PAIRS]
    repeated.ends[row], repeated.type_ends[row] = used[PAIRS], used[TYPES]
    key = value = np.int64(0)
    for _ in range(new[PAIRS]):  # texts in a resource are short here: their lengths are single bytes
        size = np.int64(resource.values[value]) + 1
        if is_service_name(resource.keys, key):
            block.used[SERVICES] = copy(resource.values[value:], size, block.services, block.used[SERVICES])
        key, value = key + np.int64(resource.keys[key]) + 1, value + size


@compiled
def is_service_name(keys, at):
    """Tell whether the text at a place is ``service.name``."""
    same = 0
    for index in range(len(SERVICE_NAME)):
        same += keys[at + index] == SERVICE_NAME[index]
    return same == len(SERVICE_NAME)


@compiled
def put_message(data, at, end, number, block, attributes, resource, repeated):
    """Append the spans of one message; return a position below 0 when it is malformed."""
    first = block.used[ROWS]
    list_end = scope_end = at
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        begin, until = read_size(data, at, end) if tag & 7 == 2 else (at, MALFORMED)
        if at < scope_end and tag == 0x12 and until >= 0:
            at = put_span(data, begin, until, block, attributes)
            repeat_resource(resource, block, repeated)
            row = block.used[ROWS] - 1
            block.numbers[row, MESSAGE], block.numbers[row, ITEM] = number, row - first
        elif scope_end <= at < list_end and tag == 0x12 and until >= 0:
            at, scope_end = begin, until
        elif scope_end <= at < list_end and tag == 0x0A and until >= 0:
            at = put_resource(data, begin, until, resource) if until > begin else until
        elif at >= list_end and tag == 0x0A and until >= 0:
            at, list_end, scope_end = begin, until, begin
        elif at >= 0:
            at = skip_value(data, at, end, tag)
    return at


@compiled
def put_messages(data, bounds, block, attributes, resource, repeated):
    """Append the spans of all messages; return False when one is malformed."""
    for number in range(len(bounds) - 1):
        begin, end = bounds[number], bounds[number + 1]
        if put_message(data, begin, end, number, block, attributes, resource, repeated) < 0:
            return False
    return True


def _pairs(rows: int, size_bytes: int, each: int) -> Pairs:
    texts = [np.empty(size_bytes, np.uint8) for _ in range(3)]
    ends = [np.zeros(rows, np.uint64) for _ in range(2)]
    return Pairs(texts[0], texts[1], ends[0], texts[2], np.zeros(rows * each, np.int8), ends[1], np.zeros(5, np.int64))


class NativeSpans:
    """Makes blocks of at most ``spans`` spans out of at most ``size_bytes``; its room is used again."""

    def __init__(self, spans: int, size_bytes: int) -> None:
        self._block = Block(
            np.empty((spans, 32), np.uint8), np.empty((spans, 6), np.int64), np.empty(size_bytes, np.uint8),
            np.empty(size_bytes, np.uint8), np.zeros(3, np.int64),
        )  # fmt: skip
        self._attributes = _pairs(spans, size_bytes, 16)
        self._resource, self._repeated = _pairs(1, 1 << 16, 256), _pairs(spans, size_bytes, 16)

    def block(self, rows: Sequence[RawRow]) -> tuple[bytes, list[str]]:
        """Return the records as one block, and its columns. Raises `ValueError` for what the experiment leaves out."""
        for used in (self._block.used, self._attributes.used, self._repeated.used):
            used[:] = 0
        data = np.frombuffer(b"".join(row.value for row in rows), np.uint8)
        bounds = np.cumsum([0, *(len(row.value) for row in rows)])
        if not put_messages(data, bounds, self._block, self._attributes, self._resource, self._repeated):
            raise ValueError("a message that this experiment does not take")
        columns = self._columns(rows)
        spans = int(self._block.used[ROWS])
        parts = [varint(len(columns)), varint(spans)]
        for name, kind, *texts in columns:
            parts += [varint(len(name)), name.encode(), varint(len(kind)), kind.encode(), *texts]
        return b"".join(parts), [name for name, *_ in columns]

    def _columns(self, rows: Sequence[RawRow]) -> list[tuple[str, str, *tuple[bytes, ...]]]:
        spans, names, services = self._block.used
        numbers, ids = self._block.numbers[:spans], self._block.ids[:spans]
        start, end, message = numbers[:, START], numbers[:, END], numbers[:, MESSAGE]
        arrival = np.array([row.arrival_ns for row in rows])[message]
        tenants = [varint(len(tenant)) + tenant for tenant in (row.tenant.encode() for row in rows)]
        return [
            ("tenant", "String", b"".join(tenants[number] for number in message.tolist())),
            ("service", "String", self._block.services[:services].tobytes()),
            ("start_time", TIME, np.clip(start, arrival - DAY_NS, arrival + AHEAD_NS).tobytes()),
            ("trace_id", "FixedString(16)", ids[:, :16].tobytes()),
            ("span_id", "FixedString(8)", ids[:, 16:24].tobytes()),
            ("parent_span_id", "FixedString(8)", ids[:, 24:].tobytes()),
            ("name", "String", self._block.names[:names].tobytes()),
            ("kind_code", "Int32", numbers[:, KIND].astype(np.int32).tobytes()),
            ("status_code", "Int32", numbers[:, STATUS].astype(np.int32).tobytes()),
            ("duration_ns", "UInt64", np.maximum(end - start, 0).tobytes()),
            ("start_unix_nano", "UInt64", start.tobytes()),
            ("end_unix_nano", "UInt64", end.tobytes()),
            *_maps("attribute", self._attributes, spans),
            *_maps("resource_attribute", self._repeated, spans),
            ("kafka_partition", "Int32", np.array([row.partition for row in rows], np.int32)[message].tobytes()),
            ("kafka_offset", "Int64", np.array([row.offset for row in rows], np.int64)[message].tobytes()),
            ("item", "UInt32", numbers[:, ITEM].astype(np.uint32).tobytes()),
            ("arrival_time", TIME, arrival.tobytes()),
        ]


def _maps(name: str, pairs: Pairs, rows: int) -> list[tuple[str, str, *tuple[bytes, ...]]]:
    used = pairs.used
    texts = (pairs.ends[:rows], pairs.keys[: used[KEYS]], pairs.values[: used[VALUES]])
    types = (pairs.type_ends[:rows], pairs.type_keys[: used[TYPE_KEYS]], pairs.types[: used[TYPES]])
    return [
        (f"{name}s", "Map(String, String)", *(column.tobytes() for column in texts)),
        (f"{name}_types", f"Map(String, {KINDS})", *(column.tobytes() for column in types)),
    ]
