"""Walk messages of any of the three signals and append a row an item to a sheet, or leave a message alone.

::

    message ─▶ list ─▶ resource ─────────────┐
       │          └──▶ scope ─▶ items ─▶ rows┴▶ a sheet (`streams.kernels.sheets`)
       └─ ODD anywhere: its rows are taken back, and SQL reads it instead

What is written is what the landing's SQL would make of the message. So it may be left alone without need, which costs
time, but never be written otherwise.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kernels import flat_logs, flat_points, flat_spans
from streams.kernels.compiled import compiled
from streams.kernels.flat_attributes import ODD
from streams.kernels.flat_fields import MOST_FIELDS
from streams.kernels.flat_logs import put_log
from streams.kernels.flat_metrics import put_metric
from streams.kernels.flat_scopes import (
    INNER,
    OWN,
    ROWS,
    clear_columns,
    clear_scope,
    find_parts,
    has_room_to_repeat,
    put_resource,
    put_scope,
    repeat_shared,
)
from streams.kernels.flat_spans import put_span
from streams.kernels.sheets import NO_ROOM, Sheet, has_room_for, make_sheet
from streams.kernels.wire import read_size, read_tag, skip_value

SHARED_BYTES = 256 << 10
"""Room of each column of a resource and its scope: what may need more is left alone."""

SPANS, LOGS, METRICS = range(3)
"""Which signal the messages are of."""

MOST_COLUMNS = max(flat_spans.COLUMNS, flat_logs.COLUMNS, flat_points.COLUMNS)

_LISTS = 0x0A


class Scratch(NamedTuple):
    """Room that each message uses again."""

    shared: Sheet
    """Resource and scope of the present list."""
    firsts: NDArray[np.int64]
    """Where the columns of ``shared`` begin."""
    used: NDArray[np.int64]
    items: NDArray[np.int64]
    """Of the sheet, before the present message."""
    parts: NDArray[np.int64]
    fields: NDArray[np.int64]
    outer: NDArray[np.int64]
    inner: NDArray[np.int64]
    """Of an item, of what it is part of, and of a part of it (`streams.kernels.flat_fields`)."""
    wanted: NDArray[np.int64]
    """After `NO_ROOM`: how many bytes more each column needs for the message, at least."""


def make_scratch() -> Scratch:
    """Return such room; compiled code allocates nothing (`streams.kernels.compiled`)."""
    shared = make_sheet(np.full(OWN, SHARED_BYTES))
    before, fields = np.zeros((2, MOST_COLUMNS), np.int64), np.zeros((3, MOST_FIELDS, 4), np.int64)
    return Scratch(
        shared, shared.used.copy(), before[0], before[1], np.zeros((2, 3), np.int64),
        fields[0], fields[1], fields[2], np.zeros(MOST_COLUMNS, np.int64),
    )  # fmt: skip


@compiled
def flatten(data, bounds, first, signal, sheet, scratch, rows):
    """Append messages ``first`` and later; message m is ``data[bounds[m]:bounds[m + 1]]``.

    Fills ``rows`` with how many rows each has, 0 if it is left alone. Returns how many of all messages are done: less
    than there are when there is no room for the next one.
    """
    for message in range(first, len(bounds) - 1):
        _copy_counts(sheet.used, sheet.items, scratch.used, scratch.items)
        outcome = _put_message(data, bounds[message], bounds[message + 1], signal, sheet, scratch)
        rows[message] = sheet.items[ROWS] - scratch.items[ROWS]
        if outcome == NO_ROOM:
            for column in range(len(sheet.used)):
                scratch.wanted[column] += sheet.used[column] - scratch.used[column]
        if outcome < 0:
            _copy_counts(scratch.used, scratch.items, sheet.used, sheet.items)
            rows[message] = 0
        if outcome == NO_ROOM:
            return message
    return len(bounds) - 1


@compiled
def _copy_counts(used, items, to_used, to_items):
    for column in range(min(len(used), len(to_used))):  # scratch has room for the signal with the most
        to_used[column], to_items[column] = used[column], items[column]


@compiled
def _put_message(data, at, end, signal, sheet, scratch):
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if at >= 0 and tag == _LISTS:
            begin, at = read_size(data, at, end)
            at = _put_list(data, begin, at, signal, sheet, scratch) if at >= 0 else at
        else:
            at = skip_value(data, at, end, tag) if at >= 0 and tag >> 3 > 1 else np.int64(ODD)
    return at


@compiled
def _put_list(data, at, end, signal, sheet, scratch):
    """Append the items of a list with one resource; return ``end``, or what was wrong."""
    clear_columns(scratch.shared, scratch.firsts, 0, OWN)
    if find_parts(data, at, end, scratch.parts) < 0 or put_resource(data, end, scratch.shared, scratch.parts) < 0:
        return np.int64(ODD)
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if tag == INNER:
            begin, at = read_size(data, at, end)
            at = _put_scope(data, begin, at, signal, sheet, scratch)
        else:
            at = skip_value(data, at, end, tag)
    return at


@compiled
def _put_scope(data, at, end, signal, sheet, scratch):
    """Append the items of a scope; return ``end``, or what was wrong."""
    clear_scope(scratch.shared, scratch.firsts)
    if find_parts(data, at, end, scratch.parts) < 0 or put_scope(data, end, scratch.shared, scratch.parts) < 0:
        return np.int64(ODD)
    rows = sheet.items[ROWS]
    while 0 <= at < end:
        tag, at = read_tag(data, at, end)
        if tag == INNER:
            begin, at = read_size(data, at, end)
            at = _put_item(data, begin, at, signal, sheet, scratch)
        else:
            at = skip_value(data, at, end, tag)
    rows = sheet.items[ROWS] - rows
    if at >= 0 and not has_room_to_repeat(sheet, scratch.shared, scratch.firsts, rows, scratch.wanted):
        return np.int64(NO_ROOM)
    if at >= 0:
        repeat_shared(scratch.shared, sheet, scratch.firsts, rows)
    return at


@compiled
def _put_item(data, at, end, signal, sheet, scratch):
    """Append one item of a scope, or all points of a metric; return ``end``, or what was wrong."""
    if signal == METRICS:
        return put_metric(data, at, end, sheet, scratch)
    if not has_room_for(sheet, end - at, scratch.wanted):
        return np.int64(NO_ROOM)
    if signal == LOGS:
        return put_log(data, at, end, sheet, scratch.fields)
    return put_span(data, at, end, sheet, scratch.fields)
