"""Append the points of one metric, each with what the metric says of all of them.

::

    metric ─▶ name, description, unit ───────────────────┐
        └───▶ data ─▶ type, temporality, is it monotonic ┼─▶ a row a point
                 └──▶ points (`streams.kernels.flat_points`)

A metric with data of two types, or of one type twice, is `ODD`; so is one of whose temporality SQL would not store the
points.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.attributes import BEGIN, END, NUMBER
from streams.kernels.compiled import compiled
from streams.kernels.flat_attributes import ODD
from streams.kernels.flat_fields import NO_ENUM, NONE, OFTEN, SEEN, note_fields_apart
from streams.kernels.flat_points import (
    DESCRIPTION,
    EXPONENTIAL,
    HISTOGRAM,
    METRIC,
    MONOTONIC,
    NUMBER_POINT,
    SUMMARY,
    TEMPORALITY,
    TYPE,
    UNIT,
    put_point,
)
from streams.kernels.sheets import NO_ROOM, has_room_for, put_byte, put_text
from streams.kernels.wire import SIZED, VARINT, read_size, read_tag, skip_value

_GAUGE, _SUM, _SUMMARY = 1, 2, 5
_TYPES = 5
"""As the Enum8 in SQL has them: gauge, sum, histogram, exponential histogram, summary."""

_DATA = np.array((0, 5, 7, 9, 10, 11))
_SHAPES = np.array((0, NUMBER_POINT, NUMBER_POINT, HISTOGRAM, EXPONENTIAL, SUMMARY))
"""Field of a metric, and shape of its points, by type."""

_METRIC_WIRES = np.array((NONE, SIZED, SIZED, SIZED, NONE, SIZED, NONE, SIZED, NONE, SIZED, SIZED, SIZED))
_DATA_WIRES = np.array((NONE, OFTEN, VARINT, VARINT))
_NAME, _DESCRIPTION, _UNIT, _TEMPORALITY, _MONOTONIC = 1, 2, 3, np.int64(2), 3
_POINT = 0x0A


@compiled
def put_metric(data, at, end, sheet, scratch):
    """Append the points of one metric; return ``end``, or what was wrong."""
    outer, fields = scratch.outer, scratch.fields
    if note_fields_apart(data, at, end, _METRIC_WIRES, NO_ENUM, outer) < 0:
        return np.int64(ODD)
    kind, kinds = np.int64(0), 0
    for each in range(1, _TYPES + 1):
        if outer[_DATA[each], SEEN]:
            kind, kinds = np.int64(each), kinds + 1
    if kinds != 1:
        return np.int64(ODD if kinds else end)
    begin, until = outer[_DATA[kind], BEGIN], outer[_DATA[kind], END]
    if note_fields_apart(data, begin, until, _DATA_WIRES, _TEMPORALITY, fields) < 0:
        return np.int64(ODD)
    temporality, is_monotonic = fields[_TEMPORALITY, NUMBER], fields[_MONOTONIC, NUMBER]
    if not _are_sound(kind, temporality, is_monotonic):
        return np.int64(ODD)
    outcome = _put_points(data, begin, until, kind, temporality, is_monotonic, sheet, scratch)
    return np.int64(end if outcome >= 0 else outcome)


@compiled
def _are_sound(kind, temporality, is_monotonic):
    """Tell whether a temporality is there, and known, just where a type has one, and only a sum may be monotonic."""
    if kind == _GAUGE or kind == _SUMMARY:
        return temporality == 0 and is_monotonic == 0
    return 1 <= temporality <= 2 and is_monotonic <= (kind == _SUM)


@compiled
def _put_points(data, at, end, kind, temporality, is_monotonic, sheet, scratch):
    """Append the points of sound data; return ``end``, or what was wrong."""
    head = scratch.outer
    head_bytes = np.int64(0)
    for field in range(_NAME, _UNIT + 1):
        head_bytes += head[field, END] - head[field, BEGIN]
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if tag != _POINT:
            at = skip_value(data, at, end, tag)
            continue
        begin, at = read_size(data, at, end)
        if not has_room_for(sheet, at - begin + head_bytes, scratch.wanted):
            return np.int64(NO_ROOM)
        at = put_point(data, begin, at, _SHAPES[kind], sheet, scratch.fields, scratch.inner)
        put_text(sheet, METRIC, data, head[_NAME, BEGIN], head[_NAME, END])
        put_text(sheet, DESCRIPTION, data, head[_DESCRIPTION, BEGIN], head[_DESCRIPTION, END])
        put_text(sheet, UNIT, data, head[_UNIT, BEGIN], head[_UNIT, END])
        put_byte(sheet, TYPE, kind)
        put_byte(sheet, TEMPORALITY, temporality)
        put_byte(sheet, MONOTONIC, is_monotonic)
    return at
