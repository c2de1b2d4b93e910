"""What surrounds an item: the resource of its list and its scope, written once and repeated for each of its rows.

::

    list ─▶ resource ─▶ service, attributes, schema URL ─┐
       └──▶ scope ─▶ name, version, attributes, URL ─────┴─▶ a sheet of one row ─▶ repeated for the scope's rows
                └──▶ items ─▶ rows

The three signals have the same lists (opentelemetry-proto 1.x: fields 1, 2 and 3 of a list are its resource, its scopes
and a URL; those of a scope are its own, its items and a URL). They may come in any order, but each at most once.
"""

from __future__ import annotations

import numpy as np

from streams.kernels.compiled import compiled
from streams.kernels.flat_attributes import (
    ENDS,
    MAP_COLUMNS,
    MOST_PAIRS,
    ODD,
    put_pair_apart,
    repeat_maps,
    service_in,
)
from streams.kernels.sheets import EXPANSION, SLACK_BYTES, has_room, put_text, repeat_bytes
from streams.kernels.wire import read_size, read_tag, skip_value

SERVICE, RESOURCE_URL, SCOPE_NAME, SCOPE_VERSION, SCOPE_URL = np.arange(5)
RESOURCE_MAPS = np.int64(5)
SCOPE_MAPS = RESOURCE_MAPS + MAP_COLUMNS
OWN = SCOPE_MAPS + MAP_COLUMNS
"""The first column that is of the items themselves."""

ROWS = 0
"""``Sheet.items`` here counts the rows of the whole sheet."""

_FIRST, INNER, _URL = 0x0A, 0x12, 0x1A
_LAST_FIELD = 4
_DROPPED = 0x20
_ZERO = np.int64(0)
_UNKNOWN_SERVICE = np.frombuffer(b"unknown_service", np.uint8)


@compiled
def find_parts(data, at, end, parts):
    """Note where the first part and the URL of a list or scope are, in rows 0 and 1; return ``end``, or `ODD`."""
    parts[:] = 0
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if at < 0:
            return np.int64(ODD)
        if tag == _FIRST or tag == _URL:
            row = 0 if tag == _FIRST else 1
            if parts[row, 2]:
                return np.int64(ODD)
            parts[row, 0], at = read_size(data, at, end)
            parts[row, 1], parts[row, 2] = at, 1
        elif tag >> 3 < _LAST_FIELD and tag != INNER:
            return np.int64(ODD)
        else:
            at = skip_value(data, at, end, tag)
    return np.int64(at if at == end else ODD)


@compiled
def put_resource(data, end, shared, parts):
    """Write the resource that `find_parts` found in place of that of the list before; return ``end``, or `ODD`."""
    at, until = parts[0, 0], parts[0, 1]
    if not has_room(shared, EXPANSION * (until - at) + parts[1, 1] - parts[1, 0] + SLACK_BYTES):
        return np.int64(ODD)
    service = service_end = np.int64(0)
    while 0 <= at < until:
        tag, at = read_tag(data, at, until)
        if at >= 0 and tag == 0x0A:
            begin, at = read_size(data, at, until)
            if at < 0 or put_pair_apart(data, begin, at, shared, RESOURCE_MAPS) < 0:
                return np.int64(ODD)
            found = service_in(data, begin, at)
            if found >= 0:
                service, service_end = found, at
        else:
            at = skip_value(data, at, until, tag) if at >= 0 and tag >> 3 > 1 else np.int64(ODD)
    if at != until or shared.items[RESOURCE_MAPS + ENDS] > MOST_PAIRS:
        return np.int64(ODD)
    if service < service_end:
        put_text(shared, SERVICE, data, service, service_end)
    else:
        put_text(shared, SERVICE, _UNKNOWN_SERVICE, _ZERO, np.int64(len(_UNKNOWN_SERVICE)))
    put_text(shared, RESOURCE_URL, data, parts[1, 0], parts[1, 1])
    return end


@compiled
def put_scope(data, end, shared, parts):
    """Write the scope that `find_parts` found in place of the one before; return ``end``, or `ODD`."""
    at, until = parts[0, 0], parts[0, 1]
    if not has_room(shared, EXPANSION * (until - at) + parts[1, 1] - parts[1, 0] + SLACK_BYTES):
        return np.int64(ODD)
    name = name_end = version = version_end = at
    seen = 0
    while 0 <= at < until:
        tag, at = read_tag(data, at, until)
        bit = 1 << (tag >> 3) if tag <= _DROPPED else 0
        if at < 0 or seen & bit:
            return np.int64(ODD)
        if tag == 0x0A:
            name, name_end = read_size(data, at, until)
            at = name_end
        elif tag == 0x12:
            version, version_end = read_size(data, at, until)
            at = version_end
        elif tag == 0x1A:
            begin, at = read_size(data, at, until)
            at = put_pair_apart(data, begin, at, shared, SCOPE_MAPS) if at >= 0 else at
            bit = 0
        else:
            at = skip_value(data, at, until, tag) if tag >> 3 > 3 else np.int64(ODD)
        seen |= bit
    if at != until or shared.items[SCOPE_MAPS + ENDS] > MOST_PAIRS:
        return np.int64(ODD)
    put_text(shared, SCOPE_NAME, data, name, name_end)
    put_text(shared, SCOPE_VERSION, data, version, version_end)
    put_text(shared, SCOPE_URL, data, parts[1, 0], parts[1, 1])
    return end


@compiled
def clear_columns(shared, firsts, begin, end):
    """Empty a range of columns of the sheet of one row."""
    for column in range(begin, end):
        shared.used[column], shared.items[column] = firsts[column], 0


@compiled
def clear_scope(shared, firsts):
    """Empty what is of the scope."""
    clear_columns(shared, firsts, SCOPE_NAME, RESOURCE_MAPS)
    clear_columns(shared, firsts, SCOPE_MAPS, OWN)


@compiled
def has_room_to_repeat(sheet, shared, firsts, times, wanted):
    """Tell whether each column has room for what `repeat_shared` appends, and note how much that is."""
    wanted[:] = 0
    has_all = True
    for column in range(OWN):
        wanted[column] = max(shared.used[column] - firsts[column], 8) * times
        has_all = has_all and sheet.limits[column] - sheet.used[column] >= wanted[column]
    return has_all


@compiled
def repeat_shared(shared, sheet, firsts, times):
    """Append resource and scope to the newest rows."""
    for column in range(RESOURCE_MAPS):
        repeat_bytes(shared, sheet, column, firsts[column], times)
    repeat_maps(shared, sheet, RESOURCE_MAPS, firsts, times)
    repeat_maps(shared, sheet, SCOPE_MAPS, firsts, times)
