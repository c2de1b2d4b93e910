"""Append one log record to its columns, as the landing's SQL makes a row of it (migrations/0004_logs.sql).

A record that SQL would reject, one whose body is an array or a list (SQL makes JSON of it), one with a field twice or
with a value no sender writes is `ODD`: its message is left to SQL. Field numbers are those of opentelemetry-proto 1.x,
logs.proto.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.attributes import BEGIN, END, NUMBER
from streams.kernels.compiled import inlined
from streams.kernels.flat_attributes import MAP_COLUMNS, ODD, VALUES, end_maps, put_value
from streams.kernels.flat_fields import NONE, OFTEN, note_fields, put_pairs
from streams.kernels.flat_scopes import OWN, ROWS
from streams.kernels.sheets import put_32, put_64, put_byte, put_bytes, put_text
from streams.kernels.wire import FIXED32, FIXED64, SIZED, VARINT

(TIME, SEVERITY, SEVERITY_TEXT, BODY, BODY_TYPE, DROPPED, FLAGS, TRACE_ID, SPAN_ID, OBSERVED, EVENT_NAME,
 CUT) = np.arange(OWN, OWN + 12)  # fmt: skip
MAPS = np.int64(OWN + 12)
COLUMNS = MAPS + MAP_COLUMNS

MOST_BODY_BYTES = np.int64(65536)

_WIRES = np.array(
    (NONE, FIXED64, VARINT, SIZED, NONE, SIZED, OFTEN, VARINT, FIXED32, SIZED, SIZED, FIXED64, SIZED)
)  # fmt: skip
"""The wire type of each field of a record; there is no field 4."""

_ZERO = np.int64(0)
_SEVERITY, _BODY, _ATTRIBUTES, _TRACE, _SPAN = np.array([2, 5, 6, 9, 10])
_ARRAY_TYPE, _LIST_TYPE = 5, 6


@inlined
def put_log(data, at, end, sheet, fields):
    """Append one log record; return ``end``, or `ODD`. ``fields`` is room for the places of its fields."""
    cuts = sheet.items[MAPS + VALUES] + sheet.items[BODY]
    if note_fields(data, at, end, _WIRES, _SEVERITY, fields) < 0:
        return np.int64(ODD)
    at = put_pairs(data, at, end, _ATTRIBUTES, fields[_ATTRIBUTES, NUMBER], sheet, MAPS)
    trace_bytes = fields[_TRACE, END] - fields[_TRACE, BEGIN]
    if at < 0 or (trace_bytes != 0 and trace_bytes != 16):
        return np.int64(ODD)
    kind = put_value(data, fields[_BODY, BEGIN], fields[_BODY, END], sheet, BODY, MOST_BODY_BYTES)
    if kind < 0 or kind == _ARRAY_TYPE or kind == _LIST_TYPE:
        return np.int64(ODD)
    put_byte(sheet, BODY_TYPE, kind)
    put_byte(sheet, CUT, np.int64(sheet.items[MAPS + VALUES] + sheet.items[BODY] > cuts))
    end_maps(sheet, MAPS)
    _put_fields(data, sheet, fields)
    sheet.items[ROWS] += 1
    return end


@inlined
def _put_fields(data, sheet, fields):
    """Append what a record has once; an id that is not there is zeros, and so is a span id of another length."""
    put_64(sheet, TIME, fields[1, NUMBER])
    put_32(sheet, SEVERITY, fields[2, NUMBER])
    put_text(sheet, SEVERITY_TEXT, data, fields[3, BEGIN], fields[3, END])
    put_32(sheet, DROPPED, fields[7, NUMBER])
    put_32(sheet, FLAGS, fields[8, NUMBER])
    put_64(sheet, OBSERVED, fields[11, NUMBER])
    put_text(sheet, EVENT_NAME, data, fields[12, BEGIN], fields[12, END])
    if fields[_TRACE, BEGIN] == fields[_TRACE, END]:
        put_64(sheet, TRACE_ID, _ZERO)
        put_64(sheet, TRACE_ID, _ZERO)
    else:
        put_bytes(sheet, TRACE_ID, data, fields[_TRACE, BEGIN], fields[_TRACE, END])
    if fields[_SPAN, END] - fields[_SPAN, BEGIN] == 8:
        put_bytes(sheet, SPAN_ID, data, fields[_SPAN, BEGIN], fields[_SPAN, END])
    else:
        put_64(sheet, SPAN_ID, _ZERO)
