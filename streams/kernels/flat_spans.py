"""Append one span to its columns, as the landing's SQL makes a row of it (migrations/0003_traces.sql).

A span that SQL would reject, one with a field twice or with a value no sender writes is `ODD`: its message is left to
SQL. Field numbers are those of opentelemetry-proto 1.x, trace.proto.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.attributes import BEGIN, END, NUMBER
from streams.kernels.compiled import compiled, inlined
from streams.kernels.flat_attributes import (
    ENDS,
    MAP_COLUMNS,
    MOST_PAIRS,
    ODD,
    VALUES,
    end_maps,
    put_pair,
    put_pair_apart,
)
from streams.kernels.flat_fields import note_field, read_int32, read_uint32
from streams.kernels.flat_scopes import OWN, ROWS
from streams.kernels.printing import put_hex
from streams.kernels.sheets import put_32, put_64, put_byte, put_bytes, put_end, put_text
from streams.kernels.wire import (
    FIXED32,
    FIXED64,
    SIZED,
    VARINT,
    byte_at,
    little_endian,
    read_size,
    read_tag,
    skip_value,
)

(TRACE_ID, SPAN_ID, PARENT_ID, STATE, NAME, KIND, START, FINISH, DROPPED, DROPPED_EVENTS, DROPPED_LINKS, STATUS_CODE,
 STATUS_MESSAGE, FLAGS, CUT) = np.arange(OWN, OWN + 15)  # fmt: skip
MAPS = np.int64(OWN + 15)
EVENT_ENDS, EVENT_TIME, EVENT_NAME, EVENT_DROPPED = np.arange(MAPS + MAP_COLUMNS, MAPS + MAP_COLUMNS + 4)
EVENT_MAPS = EVENT_DROPPED + 1
LINK_ENDS, LINK_TRACE, LINK_SPAN, LINK_STATE, LINK_FLAGS, LINK_DROPPED = np.arange(
    EVENT_MAPS + MAP_COLUMNS, EVENT_MAPS + MAP_COLUMNS + 6
)
LINK_MAPS = LINK_DROPPED + 1
COLUMNS = LINK_MAPS + MAP_COLUMNS

_WIRES = np.array(
    (-1, SIZED, SIZED, SIZED, SIZED, SIZED, VARINT, FIXED64, FIXED64, SIZED, VARINT, SIZED, VARINT, SIZED, VARINT,
     SIZED, FIXED32)
)  # fmt: skip
"""The wire type of each field of a span."""

_ZERO = np.int64(0)
_ATTRIBUTE, _EVENT, _LINK, _STATUS, _KIND_FIELD = 0x4A, 0x5A, 0x6A, 15, np.int64(6)


@inlined
def put_span(data, at, end, sheet, fields):
    """Append one span; return ``end``, or `ODD`. ``fields`` is room for the places of its fields."""
    fields[:] = 0
    pairs, cuts = sheet.items[MAPS + ENDS], sheet.items[MAPS + VALUES]
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if at < 0:
            return np.int64(ODD)
        if tag == _ATTRIBUTE:
            begin, at = read_size(data, at, end)
            at = put_pair(data, begin, at, sheet, MAPS) if at >= 0 else at
        elif tag == _EVENT:
            begin, at = read_size(data, at, end)
            at = _put_event(data, begin, at, sheet) if at >= 0 else at
        elif tag == _LINK:
            begin, at = read_size(data, at, end)
            at = _put_link(data, begin, at, sheet) if at >= 0 else at
        elif tag >> 3 < len(_WIRES):
            at = note_field(data, at, end, tag, _WIRES, _KIND_FIELD, fields)
        else:
            at = skip_value(data, at, end, tag)
    if at < 0 or sheet.items[MAPS + ENDS] - pairs > MOST_PAIRS or not _are_sound(data, fields):
        return np.int64(ODD)
    put_byte(sheet, CUT, np.int64(sheet.items[MAPS + VALUES] > cuts))
    end_maps(sheet, MAPS)
    put_end(sheet, EVENT_ENDS)
    put_end(sheet, LINK_ENDS)
    sheet.items[ROWS] += 1
    return _put_fields(data, end, sheet, fields)


@inlined
def _are_sound(data, fields):
    """Tell whether the ids are such as SQL stores."""
    trace, own, parent = fields[1], fields[2], fields[4]
    return (
        trace[END] - trace[BEGIN] == 16
        and own[END] - own[BEGIN] == 8
        and (parent[END] - parent[BEGIN] == 8 or parent[END] == parent[BEGIN])
        and little_endian(data, trace[BEGIN]) | little_endian(data, trace[BEGIN] + 8) != 0
        and little_endian(data, own[BEGIN]) != 0
    )


@inlined
def _put_fields(data, end, sheet, fields):
    """Append what a span has once; return ``end``, or `ODD`."""
    put_bytes(sheet, TRACE_ID, data, fields[1, BEGIN], fields[1, END])
    put_bytes(sheet, SPAN_ID, data, fields[2, BEGIN], fields[2, END])
    put_text(sheet, STATE, data, fields[3, BEGIN], fields[3, END])
    if fields[4, BEGIN] == fields[4, END]:
        put_64(sheet, PARENT_ID, _ZERO)
    else:
        put_bytes(sheet, PARENT_ID, data, fields[4, BEGIN], fields[4, END])
    put_text(sheet, NAME, data, fields[5, BEGIN], fields[5, END])
    put_32(sheet, KIND, fields[6, NUMBER])
    put_64(sheet, START, fields[7, NUMBER])
    put_64(sheet, FINISH, fields[8, NUMBER])
    put_32(sheet, DROPPED, fields[10, NUMBER])
    put_32(sheet, DROPPED_EVENTS, fields[12, NUMBER])
    put_32(sheet, DROPPED_LINKS, fields[14, NUMBER])
    put_32(sheet, FLAGS, fields[16, NUMBER])
    return _put_status(data, fields[_STATUS, BEGIN], fields[_STATUS, END], sheet, end)


@compiled
def _put_status(data, at, end, sheet, span_end):
    """Append a ``Status``; return ``span_end``, or `ODD`."""
    begin = until = at
    code, seen = np.int64(0), 0
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if at >= 0 and tag == 0x12 and seen & 1 == 0:
            begin, until = read_size(data, at, end)
            at, seen = until, seen | 1
        elif at >= 0 and tag == 0x18 and seen & 2 == 0:
            code, at = read_int32(data, at, end)
            seen |= 2
        else:
            at = np.int64(ODD)
    if at < 0:
        return np.int64(ODD)
    put_text(sheet, STATUS_MESSAGE, data, begin, until)
    put_32(sheet, STATUS_CODE, code)
    return span_end


@compiled
def _put_event(data, at, end, sheet):
    """Append one event to those of its span; return ``end``, or `ODD`."""
    begin = until = at
    time, dropped, seen, pairs = np.uint64(0), np.int64(0), 0, sheet.items[EVENT_MAPS + ENDS]
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        bit = 1 << (tag >> 3)
        if at >= 0 and tag == 0x1A:
            first, at = read_size(data, at, end)
            at = put_pair_apart(data, first, at, sheet, EVENT_MAPS) if at >= 0 else at
        elif at < 0 or tag > 0x20 or seen & bit:
            at = np.int64(ODD)
        elif tag == 0x09 and end - at >= 8:
            time = little_endian(data, at)
            at += 8
        elif tag == 0x12:
            begin, until = read_size(data, at, end)
            at = until
        elif tag == 0x20:
            dropped, at = read_uint32(data, at, end)
        else:
            at = np.int64(ODD)
        seen |= bit
    if at < 0 or sheet.items[EVENT_MAPS + ENDS] - pairs > MOST_PAIRS:
        return np.int64(ODD)
    put_64(sheet, EVENT_TIME, np.int64(time))
    put_text(sheet, EVENT_NAME, data, begin, until)
    put_32(sheet, EVENT_DROPPED, dropped)
    end_maps(sheet, EVENT_MAPS)
    sheet.items[EVENT_ENDS] += 1
    return end


@compiled
def _put_link(data, at, end, sheet):
    """Append one link to those of its span; return ``end``, or `ODD`."""
    trace_begin = trace_end = own_begin = own_end = state_begin = state_end = at
    dropped, flags, seen, pairs = np.int64(0), np.int64(0), 0, sheet.items[LINK_MAPS + ENDS]
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        bit = 1 << (tag >> 3)
        if at >= 0 and tag == 0x22:
            first, at = read_size(data, at, end)
            at = put_pair_apart(data, first, at, sheet, LINK_MAPS) if at >= 0 else at
        elif at < 0 or tag > 0x35 or seen & bit:
            at = np.int64(ODD)
        elif tag == 0x0A:
            trace_begin, trace_end = read_size(data, at, end)
            at = trace_end
        elif tag == 0x12:
            own_begin, own_end = read_size(data, at, end)
            at = own_end
        elif tag == 0x1A:
            state_begin, state_end = read_size(data, at, end)
            at = state_end
        elif tag == 0x28:
            dropped, at = read_uint32(data, at, end)
        elif tag == 0x35 and end - at >= 4:
            for index in range(4):
                flags |= np.int64(byte_at(data, at + index)) << (8 * index)
            at += 4
        else:
            at = np.int64(ODD)
        seen |= bit
    if at < 0 or sheet.items[LINK_MAPS + ENDS] - pairs > MOST_PAIRS:
        return np.int64(ODD)
    put_hex(sheet, LINK_TRACE, data, trace_begin, trace_end)
    put_hex(sheet, LINK_SPAN, data, own_begin, own_end)
    put_text(sheet, LINK_STATE, data, state_begin, state_end)
    put_32(sheet, LINK_FLAGS, flags)
    put_32(sheet, LINK_DROPPED, dropped)
    end_maps(sheet, LINK_MAPS)
    sheet.items[LINK_ENDS] += 1
    return end
