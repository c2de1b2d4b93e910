"""Read protobuf's wire format, with every length checked (protobuf.dev, "Encoding").

Compiled code does not check bounds, so nothing here reads at or beyond ``end``. What is taken and what is refused is
what upb takes and refuses: varints of at most ten bytes, tags and sizes of at most five, no field number 0, unknown
fields skipped. Groups, which no OTLP sender writes, are left to upb: they are answered with `GROUP_MET`.

A position below 0 is no position but says what was wrong.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.compiled import compiled, inlined

MALFORMED, GROUP_MET = -1, -2

VARINT, FIXED64, SIZED, GROUP, END_GROUP, FIXED32 = 0, 1, 2, 3, 4, 5
"""Wire types: the lowest three bits of a tag."""

_MAX_TAG_BYTES = 5
_MAX_TAG = np.uint64(0xFFFFFFFF)
_MAX_SIZE = np.uint64(0x7FFFFFFF)
_SEVEN_BITS = np.uint64(0x7F)
_MORE = np.uint64(0x80)
_ONE_BYTE = 0x80


@inlined
def byte_at(data, at):
    """Return a byte; ``at`` is not negative, which spares the compiled code the question."""
    return data[np.uint64(at)]


@compiled
def read_varint(data, at, end):
    """Return the number that begins at ``at``, and where it ends."""
    value = np.uint64(0)
    for shift in range(0, 70, 7):
        if at >= end:
            return value, MALFORMED
        byte = np.uint64(byte_at(data, at))
        at += 1
        value |= (byte & _SEVEN_BITS) << np.uint64(shift)
        if byte < _MORE:
            return value, at
    return value, MALFORMED


@inlined
def read_tag(data, at, end):
    """Return the tag that begins at ``at`` (which is before ``end``), and where it ends."""
    first = np.int64(byte_at(data, at))
    if first < 0x80:
        return first, at + 1 if first >= 8 else MALFORMED  # there is no field 0
    value, after = read_varint(data, at, min(end, at + _MAX_TAG_BYTES))
    if value > _MAX_TAG or value < np.uint64(8):
        return 0, MALFORMED
    return np.int64(value), after


@inlined
def read_size(data, at, end):
    """Return where a sized value begins, and where it ends."""
    if at < end and byte_at(data, at) < 0x80:
        begin = at + 1
        size = np.int64(byte_at(data, at))
    else:
        value, begin = read_varint(data, at, min(end, at + _MAX_TAG_BYTES))
        if begin < 0 or value > _MAX_SIZE:
            return MALFORMED, MALFORMED
        size = np.int64(value)
    if size > end - begin:
        return MALFORMED, MALFORMED
    return begin, begin + size


@compiled
def skip_value(data, at, end, tag):
    """Return where the value behind a tag ends, if it is not of interest."""
    wire_type = tag & 7
    if wire_type == SIZED:
        return read_size(data, at, end)[1]
    if wire_type == VARINT:
        return read_varint(data, at, end)[1]
    if wire_type == FIXED64:
        return at + 8 if end - at >= 8 else MALFORMED
    if wire_type == FIXED32:
        return at + 4 if end - at >= 4 else MALFORMED
    return GROUP_MET if wire_type == GROUP else MALFORMED


@inlined
def skip_alike(data, at, end, tag):
    """Return where fields end that have all the same tag, of one byte, and sizes below 128; there may be none."""
    while end - at >= 2 and byte_at(data, at) == tag:
        after = at + 2 + np.int64(byte_at(data, at + 1))
        if byte_at(data, at + 1) >= _ONE_BYTE or after > end:
            break
        at = after
    return at


@inlined
def little_endian(data, at):
    """Return the eight bytes from ``at`` as a number, the first byte lowest."""
    value = np.uint64(0)
    for index in range(8):
        value |= np.uint64(byte_at(data, at + index)) << np.uint64(8 * index)
    return value


@inlined
def big_endian(data, at):
    """Return the eight bytes from ``at`` as a number, the first byte highest."""
    value = np.uint64(0)
    for index in range(8):
        value |= np.uint64(byte_at(data, at + index)) << np.uint64(56 - 8 * index)
    return value
