"""Note the fields that an item has once: where each lies, or its number."""

from __future__ import annotations

import numpy as np

from streams.kernels.attributes import BEGIN, END, NUMBER
from streams.kernels.compiled import compiled
from streams.kernels.flat_attributes import ODD
from streams.kernels.wire import FIXED32, FIXED64, SIZED, byte_at, little_endian, read_size, read_varint

SEEN = 3
MOST_FIELDS = 17
"""Rows of ``fields``, by field number; columns are `BEGIN`, `END`, `NUMBER` and `SEEN`."""

_MOST_INT32, _MOST_UINT32 = np.uint64(0x7FFFFFFF), np.uint64(0xFFFFFFFF)


@compiled
def note_field(data, at, end, tag, wires, signed, fields):
    """Note one field; return where it ends, or `ODD`. ``wires`` has the wire type of each, ``signed`` is an enum."""
    field, wire = tag >> 3, tag & 7
    if wires[field] != wire or fields[field, SEEN]:
        return np.int64(ODD)
    fields[field, SEEN] = 1
    if wire == SIZED:
        fields[field, BEGIN], fields[field, END] = read_size(data, at, end)
        return fields[field, END]
    if wire == FIXED64:
        if end - at < 8:
            return np.int64(ODD)
        fields[field, NUMBER] = np.int64(little_endian(data, at))
        return at + 8
    if wire == FIXED32:
        if end - at < 4:
            return np.int64(ODD)
        for index in range(4):
            fields[field, NUMBER] |= np.int64(byte_at(data, at + index)) << (8 * index)
        return at + 4
    fields[field, NUMBER], at = read_int32(data, at, end) if field == signed else read_uint32(data, at, end)
    return at


@compiled
def read_int32(data, at, end):
    """Return a number of 31 bits and where it ends; `ODD` if it has more, as negative ones do."""
    number, at = read_varint(data, at, end)
    return np.int64(number), np.int64(at if number <= _MOST_INT32 else ODD)


@compiled
def read_uint32(data, at, end):
    """Return a number of 32 bits and where it ends; `ODD` if it has more."""
    number, at = read_varint(data, at, end)
    return np.int64(number), np.int64(at if number <= _MOST_UINT32 else ODD)
