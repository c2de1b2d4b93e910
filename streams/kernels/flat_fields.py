"""Note the fields that a message has once: where each lies, or its number. What it may have often is read later.

``wires`` has the wire type of each field by its number.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.attributes import BEGIN, END, NUMBER
from streams.kernels.compiled import compiled, inlined
from streams.kernels.flat_attributes import MOST_PAIRS, ODD, put_pair
from streams.kernels.wire import (
    FIXED32,
    FIXED64,
    SIZED,
    byte_at,
    little_endian,
    read_size,
    read_tag,
    read_varint,
    skip_value,
)

SEEN = 3
MOST_FIELDS = 17
"""Rows of ``fields``, by field number; columns are `BEGIN`, `END`, `NUMBER` and `SEEN`. There is no field 0."""

NONE, OFTEN = -1, 8
"""In place of a wire type: a field that nobody sends, and messages that may be there often."""

NO_ENUM = np.int64(0)

_MOST_INT32, _MOST_UINT32 = np.uint64(0x7FFFFFFF), np.uint64(0xFFFFFFFF)


@inlined
def note_fields(data, at, end, wires, signed, fields):
    """Note the fields of a message; return ``end``, or `ODD`. Of what is there often, `NUMBER` says how often."""
    fields[:] = 0
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if at < 0:
            return np.int64(ODD)
        field = tag >> 3
        if field >= len(wires):
            at = skip_value(data, at, end, tag)
        elif wires[field] == OFTEN and tag & 7 == SIZED:
            fields[field, NUMBER] += 1
            at = read_size(data, at, end)[1]
        else:
            at = note_field(data, at, end, tag, wires, signed, fields)
    return np.int64(ODD if at < 0 else end)


@compiled
def note_fields_apart(data, at, end, wires, signed, fields):
    """Note the fields of a message as `note_fields` does: a call, for messages that are seldom met."""
    return note_fields(data, at, end, wires, signed, fields)


@inlined
def put_pairs(data, at, end, field, left, sheet, maps):
    """Append the attributes of a message without faults, as many as there are; return ``end``, or `ODD`."""
    if left > MOST_PAIRS:
        return np.int64(ODD)
    while left and at >= 0:
        tag, at = read_tag(data, at, end)
        if tag >> 3 == field:
            begin, at = read_size(data, at, end)
            at = put_pair(data, begin, at, sheet, maps)
            left -= 1
        else:
            at = skip_value(data, at, end, tag)
    return np.int64(ODD if at < 0 else end)


@inlined
def note_field(data, at, end, tag, wires, signed, fields):
    """Note one field; return where it ends, or `ODD`. The field ``signed`` is an enum."""
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


@inlined
def fill_value(fields, double, integer):
    """Where there is an integer, fill in the double that it is; tell whether one of the two at most was there."""
    if fields[integer, SEEN] and fields[double, SEEN]:
        return False
    if fields[integer, SEEN]:
        fields[double, NUMBER] = np.float64(fields[integer, NUMBER]).view(np.int64)
        fields[double, SEEN] = 1
    return True


@compiled
def unfolded(number):
    """Return the signed number that an unsigned one stands for (zigzag)."""
    return number >> 1 ^ -(number & 1)


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
