"""Append one exemplar to those of its point (opentelemetry-proto 1.x, metrics.proto)."""

from __future__ import annotations

import numpy as np

from streams.kernels.attributes import BEGIN, END, NUMBER
from streams.kernels.compiled import compiled
from streams.kernels.flat_attributes import MAP_COLUMNS, ODD, end_maps
from streams.kernels.flat_fields import NO_ENUM, NONE, OFTEN, SEEN, fill_value, note_fields_apart, put_pairs
from streams.kernels.flat_scopes import OWN
from streams.kernels.printing import put_hex
from streams.kernels.sheets import put_64, put_byte
from streams.kernels.wire import FIXED64, SIZED

EXEMPLAR_ENDS, TIME, VALUE_NULL, VALUE, INT_NULL, INT, TRACE_ID, SPAN_ID = np.arange(OWN, OWN + 8)
MAPS = np.int64(OWN + 8)
NEXT = MAPS + MAP_COLUMNS
"""The first column behind those of exemplars."""

_WIRES = np.array((NONE, NONE, FIXED64, FIXED64, SIZED, SIZED, FIXED64, OFTEN))
_TIME, _DOUBLE, _SPAN, _TRACE, _INT, _ATTRIBUTES = np.arange(2, 8)


@compiled
def put_exemplar(data, at, end, sheet, fields):
    """Append one exemplar; return ``end``, or `ODD`. ``fields`` is room for the places of its fields."""
    if note_fields_apart(data, at, end, _WIRES, NO_ENUM, fields) < 0 or not fill_value(fields, _DOUBLE, _INT):
        return np.int64(ODD)
    if put_pairs(data, at, end, _ATTRIBUTES, fields[_ATTRIBUTES, NUMBER], sheet, MAPS) < 0:
        return np.int64(ODD)
    put_64(sheet, TIME, fields[_TIME, NUMBER])
    put_byte(sheet, VALUE_NULL, 1 - fields[_DOUBLE, SEEN])
    put_64(sheet, VALUE, fields[_DOUBLE, NUMBER])
    put_byte(sheet, INT_NULL, 1 - fields[_INT, SEEN])
    put_64(sheet, INT, fields[_INT, NUMBER])
    put_hex(sheet, TRACE_ID, data, fields[_TRACE, BEGIN], fields[_TRACE, END])
    put_hex(sheet, SPAN_ID, data, fields[_SPAN, BEGIN], fields[_SPAN, END])
    end_maps(sheet, MAPS)
    sheet.items[EXEMPLAR_ENDS] += 1
    return end
