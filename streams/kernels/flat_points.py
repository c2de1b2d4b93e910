"""Append one metric point to its columns, as the landing's SQL makes a row of it (migrations/0005_metrics.sql).

Points come in four shapes, whose messages number their fields differently (opentelemetry-proto 1.x, metrics.proto).
Tables say for each shape where the fields of columns are; one that a shape lacks takes field 0, which is never there.

A point that SQL would reject, one with a field twice or with a value no sender writes is `ODD`: its message is left to
SQL.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.attributes import BEGIN, END, NUMBER
from streams.kernels.compiled import compiled, inlined
from streams.kernels.flat_attributes import MAP_COLUMNS, ODD, VALUES, end_maps
from streams.kernels.flat_exemplars import EXEMPLAR_ENDS, NEXT, put_exemplar
from streams.kernels.flat_fields import (
    NO_ENUM,
    NONE,
    OFTEN,
    SEEN,
    fill_value,
    note_fields,
    note_fields_apart,
    put_pairs,
    unfolded,
)
from streams.kernels.flat_scopes import ROWS
from streams.kernels.sheets import put_32, put_64, put_byte, put_bytes, put_end
from streams.kernels.wire import (
    FIXED64,
    SIZED,
    VARINT,
    byte_at,
    little_endian,
    read_size,
    read_tag,
    read_varint,
    skip_value,
)

NUMBER_POINT, HISTOGRAM, EXPONENTIAL, SUMMARY = np.arange(4)
"""The shapes: a gauge and a sum have number points."""

METRIC, DESCRIPTION, UNIT, TYPE, TEMPORALITY, MONOTONIC, CUT, FLAGS, SCALE = np.arange(NEXT, NEXT + 9)
VALUE_NULL, INT_NULL, SUM_NULL, MIN_NULL, MAX_NULL = np.arange(SCALE + 1, SCALE + 6)
VALUE, INT, SUM, MIN, MAX, START, TIME, COUNT, ZERO_COUNT, ZERO_THRESHOLD = np.arange(MAX_NULL + 1, MAX_NULL + 11)
BOUND_ENDS, BOUNDS, BUCKET_ENDS, BUCKETS = np.arange(ZERO_THRESHOLD + 1, ZERO_THRESHOLD + 5)
POSITIVE_OFFSET, POSITIVE_ENDS, POSITIVE, NEGATIVE_OFFSET, NEGATIVE_ENDS, NEGATIVE = np.arange(BUCKETS + 1, BUCKETS + 7)
QUANTILE_ENDS, QUANTILES, QUANTILE_VALUES = np.arange(NEGATIVE + 1, NEGATIVE + 4)
MAPS = np.int64(QUANTILE_VALUES + 1)
COLUMNS = MAPS + MAP_COLUMNS

_WIRES = np.array(
    (
        (NONE, NONE, FIXED64, FIXED64, FIXED64, OFTEN, FIXED64, OFTEN, VARINT, *[NONE] * 6),
        (NONE, NONE, FIXED64, FIXED64, FIXED64, FIXED64, SIZED, SIZED, OFTEN, OFTEN, VARINT, FIXED64, FIXED64,
         NONE, NONE),
        (NONE, OFTEN, FIXED64, FIXED64, FIXED64, FIXED64, VARINT, FIXED64, SIZED, SIZED, VARINT, OFTEN, FIXED64,
         FIXED64, FIXED64),
        (NONE, NONE, FIXED64, FIXED64, FIXED64, FIXED64, OFTEN, OFTEN, VARINT, *[NONE] * 6),
    )
)  # fmt: skip
"""What is in each field, by shape."""

_NUMBERS = np.array(
    (
        (4, 6, 0, 0, 0, 2, 3, 0, 0, 0),
        (0, 0, 5, 11, 12, 2, 3, 4, 0, 0),
        (0, 0, 5, 12, 13, 2, 3, 4, 7, 14),
        (0, 0, 5, 0, 0, 2, 3, 4, 0, 0),
    )
)
"""The fields of the columns from `VALUE` to `ZERO_THRESHOLD`, by shape; those of `VALUE` to `MAX` may be NULL."""

_NULLABLE = MAX - VALUE + 1
_FLAGS_AT, _SCALE_AT = np.array(((8, 10, 10, 8), (0, 0, 6, 0)))
_BOUNDS_AT, _BUCKETS_AT = np.array(((0, 7, 0, 0), (0, 6, 0, 0)))
_POSITIVE_AT, _NEGATIVE_AT = np.array(((0, 0, 8, 0), (0, 0, 9, 0)))
_ATTRIBUTES_AT, _EXEMPLARS_AT, _QUANTILES_AT = np.array(((7, 9, 1, 7), (5, 8, 11, 0), (0, 0, 0, 6)))
_DOUBLE, _INT = np.array((4, 6))
_COUNT, _SUM = 4, 5
_ZERO_COUNT = 7
"""Fields: by shape, or of those that have them."""

_SIDE_WIRES = np.array((NONE, VARINT, SIZED))
_QUANTILE_WIRES = np.array((NONE, FIXED64, FIXED64))
_LEAST_SCALE, _MOST_SCALE = -10, 20
_LONGEST_VARINT = 10


@compiled
def put_point(data, at, end, shape, sheet, fields, inner):
    """Append one point; return ``end``, or `ODD`. ``fields`` and ``inner`` are room for places of fields."""
    cuts = sheet.items[MAPS + VALUES]
    if note_fields(data, at, end, _WIRES[shape], NO_ENUM, fields) < 0 or not _complete(data, shape, fields):
        return np.int64(ODD)
    attributes = _ATTRIBUTES_AT[shape]
    if put_pairs(data, at, end, attributes, fields[attributes, NUMBER], sheet, MAPS) < 0:
        return np.int64(ODD)
    put_byte(sheet, CUT, np.int64(sheet.items[MAPS + VALUES] > cuts))
    end_maps(sheet, MAPS)
    _put_numbers(sheet, shape, fields)
    _put_array(data, fields[_BOUNDS_AT[shape]], sheet, BOUND_ENDS)
    _put_array(data, fields[_BUCKETS_AT[shape]], sheet, BUCKET_ENDS)
    if not _put_sides(data, shape, sheet, fields, inner) or _put_parts(data, at, end, shape, sheet, fields, inner) < 0:
        return np.int64(ODD)
    put_end(sheet, EXEMPLAR_ENDS)
    put_end(sheet, QUANTILE_ENDS)
    sheet.items[ROWS] += 1
    return end


@inlined
def _complete(data, shape, fields):
    """Fill in what a row has beyond what was sent; tell whether SQL would store this point."""
    if shape == NUMBER_POINT:
        return fill_value(fields, _DOUBLE, _INT)
    if shape == HISTOGRAM:
        return _is_sound_histogram(data, fields[_BOUNDS_AT[shape]], fields[_BUCKETS_AT[shape]], fields[_COUNT, NUMBER])
    if shape == SUMMARY:
        fields[_SUM, SEEN] = 1  # of a summary it is never unknown
        return True
    scale = unfolded(fields[_SCALE_AT[shape], NUMBER])
    fields[_SCALE_AT[shape], NUMBER] = scale
    return _LEAST_SCALE <= scale <= _MOST_SCALE


@compiled
def _is_sound_histogram(data, bounds, buckets, count):
    """Tell whether there is a bucket more than bounds, or none, bounds rise, and buckets add up to the count."""
    bounds_bytes, buckets_bytes = bounds[END] - bounds[BEGIN], buckets[END] - buckets[BEGIN]
    if bounds_bytes == 0 and buckets_bytes == 0:
        return True
    if bounds_bytes & 7 or buckets_bytes != bounds_bytes + 8:
        return False
    for at in range(bounds[BEGIN] + 8, bounds[END], 8):
        if not _double_at(data, at) > _double_at(data, at - 8):  # also if one is not a number
            return False
    total = np.uint64(0)
    for at in range(buckets[BEGIN], buckets[END], 8):
        total += little_endian(data, at)
    return total == np.uint64(count)


@compiled
def _double_at(data, at):
    return np.uint64(little_endian(data, at)).view(np.float64)


@inlined
def _put_numbers(sheet, shape, fields):
    """Append what is one number, column by column."""
    for place in range(_NUMBERS.shape[1]):
        field = _NUMBERS[shape, place]
        put_64(sheet, VALUE + place, fields[field, NUMBER])
        if place < _NULLABLE:
            put_byte(sheet, VALUE_NULL + place, 1 - fields[field, SEEN])
    put_32(sheet, FLAGS, fields[_FLAGS_AT[shape], NUMBER])
    put_32(sheet, SCALE, fields[_SCALE_AT[shape], NUMBER])


@inlined
def _put_array(data, place, sheet, ends):
    """Append packed numbers of 64 bits to the column behind ``ends``: they are what the column is made of."""
    put_bytes(sheet, ends + 1, data, place[BEGIN], place[END])
    sheet.items[ends] += (place[END] - place[BEGIN]) >> 3
    put_end(sheet, ends)


@compiled
def _put_sides(data, shape, sheet, fields, inner):
    """Append both sides of an exponential histogram; tell whether they are sound and add up to the count."""
    total = np.uint64(fields[_ZERO_COUNT, NUMBER])
    for field, offset in ((_POSITIVE_AT[shape], POSITIVE_OFFSET), (_NEGATIVE_AT[shape], NEGATIVE_OFFSET)):
        if note_fields_apart(data, fields[field, BEGIN], fields[field, END], _SIDE_WIRES, NO_ENUM, inner) < 0:
            return False
        put_32(sheet, offset, unfolded(inner[1, NUMBER]))
        at, count = _put_counts(data, inner[2, BEGIN], inner[2, END], sheet, offset + 1)
        if at < 0:
            return False
        total += count
    return shape != EXPONENTIAL or total == np.uint64(fields[_COUNT, NUMBER])


@compiled
def _put_counts(data, at, end, sheet, ends):
    """Append packed varints to the column behind ``ends``; return where they end, or `ODD`, and what they add up to."""
    total = np.uint64(0)
    while 0 <= at < end:
        begin = at
        count, at = read_varint(data, at, end)
        if at - begin == _LONGEST_VARINT and byte_at(data, at - 1) > 1:  # more than 64 bits
            return np.int64(ODD), total
        put_64(sheet, ends + 1, count)
        sheet.items[ends] += 1
        total += count
    put_end(sheet, ends)
    return np.int64(at), total


@compiled
def _put_parts(data, at, end, shape, sheet, fields, inner):
    """Append exemplars and quantiles; return a position, or `ODD`."""
    exemplar, quantile = _EXEMPLARS_AT[shape], _QUANTILES_AT[shape]
    left = fields[exemplar, NUMBER] + fields[quantile, NUMBER]
    while left and at >= 0:
        tag, at = read_tag(data, at, end)
        if tag >> 3 != exemplar and tag >> 3 != quantile:
            at = skip_value(data, at, end, tag)
            continue
        begin, at = read_size(data, at, end)
        if tag >> 3 == exemplar:
            at = put_exemplar(data, begin, at, sheet, inner)
        else:
            at = _put_quantile(data, begin, at, sheet, inner)
        left -= 1
    return at


@compiled
def _put_quantile(data, at, end, sheet, inner):
    """Append one quantile and its value; return ``end``, or `ODD`."""
    if note_fields_apart(data, at, end, _QUANTILE_WIRES, NO_ENUM, inner) < 0:
        return np.int64(ODD)
    put_64(sheet, QUANTILES, inner[1, NUMBER])
    put_64(sheet, QUANTILE_VALUES, inner[2, NUMBER])
    sheet.items[QUANTILE_ENDS] += 1
    return end
