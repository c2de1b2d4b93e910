"""Columns under construction: each is a region of one buffer, so a loop that fills fifty of them is handed five arrays.

::

    room    |text of column 0 ....|      |column 1 ..|            |column 2 ....
    used                          ^                  ^                          ^      where a column's next byte goes
    limits                              ^                        ^                     where its region ends
    items   how many things are in a column, where that is counted: an array column is written as the ends of its rows

What is written is what a column of ClickHouse's Native format is: numbers little-endian, one after the other; texts
with their length before them as a varint; of an array or a map the end of each row (64 bits), then the elements.

Nothing here asks for room: whoever calls has asked `has_room_for` all that an item can need. ``SLACK_BYTES`` cover what
a text has around it.
"""

from __future__ import annotations

import mmap
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kernels.compiled import compiled, inlined
from streams.kernels.interning import COUNT, END, USED_BYTES
from streams.kernels.keys import Keys, make_keys
from streams.kernels.wire import byte_at, little_endian

NO_ROOM = -6
"""In place of a position: the sheet has no room for the next item."""

SLACK_BYTES = 64
MOST_SIZE_BYTES = 10
"""Of the length before a text."""
_WIDE = 32
LARGE_BYTES = 64 << 20
EXPANSION = 8
"""No column takes more than so many bytes for each of an item: a packed varint of one byte becomes eight."""


class Sheet(NamedTuple):
    """The regions, and how far each is filled."""

    room: NDArray[np.uint8]
    used: NDArray[np.int64]
    limits: NDArray[np.int64]
    items: NDArray[np.int64]
    keys: Keys
    """Of attributes, in all columns; other sheets of the same block have the same."""


def make_sheet(sizes_bytes: NDArray[np.int64], keys: Keys | None = None, is_sparse: bool = False) -> Sheet:
    """Return an empty sheet whose columns have room for so many bytes each, with ``keys`` or some of its own.

    Of a large one that ``is_sparse`` only what is written takes memory. For others NumPy asks for huge pages, which are
    cheaper to fill, and of which each column takes one with its first byte.
    """
    limits = np.cumsum(sizes_bytes)
    total_bytes = int(limits[-1])
    mapped = is_sparse and total_bytes >= LARGE_BYTES
    room = np.frombuffer(mmap.mmap(-1, total_bytes), np.uint8) if mapped else np.empty(total_bytes, np.uint8)
    return Sheet(room, limits - sizes_bytes, limits, np.zeros(len(limits), np.int64), keys or make_keys())


def keys_sheet(keys: Keys) -> Sheet:
    """Return a sheet of one column with room for the texts of all keys."""
    count, size_bytes = keys.table.totals[COUNT], keys.table.totals[USED_BYTES]
    return make_sheet(np.array([size_bytes + MOST_SIZE_BYTES * count]), keys)


@compiled
def has_room(sheet, wanted_bytes):
    """Tell whether every column has room for so many bytes more."""
    for column in range(len(sheet.used)):
        if sheet.limits[column] - sheet.used[column] < wanted_bytes:
            return False
    return True


@compiled
def has_room_for(sheet, item_bytes, wanted):
    """Tell whether every column has room for an item of so many bytes; if not, note how much that is."""
    wanted_bytes = EXPANSION * item_bytes + SLACK_BYTES
    if has_room(sheet, wanted_bytes):
        return True
    wanted[:] = wanted_bytes
    return False


@inlined
def put_bytes(sheet, column, data, begin, end):
    """Append ``data[begin:end]``."""
    to = sheet.used[column]
    _copy(sheet.room, to, data, begin, end - begin)
    sheet.used[column] = to + end - begin


@inlined
def put_byte(sheet, column, byte):
    """Append one byte."""
    sheet.room[np.uint64(sheet.used[column])] = np.uint8(byte)
    sheet.used[column] += 1


@inlined
def put_64(sheet, column, number):
    """Append eight bytes: an integer of 64 bits, or what a double is made of."""
    _store_64(sheet.room, sheet.used[column], np.uint64(number))
    sheet.used[column] += 8


@inlined
def put_16(sheet, column, number):
    """Append two bytes."""
    to = np.uint64(sheet.used[column])
    sheet.room[to] = np.uint8(number & 0xFF)
    sheet.room[to + np.uint64(1)] = np.uint8(number >> 8)
    sheet.used[column] += 2


@inlined
def put_32(sheet, column, number):
    """Append four bytes."""
    to, bits = np.uint64(sheet.used[column]), np.uint64(number)
    for index in range(4):
        sheet.room[to + np.uint64(index)] = np.uint8(bits >> np.uint64(8 * index) & np.uint64(0xFF))
    sheet.used[column] += 4


@inlined
def put_size(sheet, column, size):
    """Append the length that stands before a text."""
    while size > 0x7F:
        put_byte(sheet, column, size & 0x7F | 0x80)
        size >>= 7
    put_byte(sheet, column, size)


@inlined
def put_text(sheet, column, data, begin, end):
    """Append ``data[begin:end]`` as a text."""
    to, size = sheet.used[column], end - begin
    if size > 0x7F or len(data) - end < _WIDE:
        _put_any_text(sheet, column, data, begin, end)
        return
    sheet.room[np.uint64(to)] = np.uint8(size)
    _copy_widely(sheet.room, to + 1, data, begin, size)
    sheet.used[column] = to + 1 + size


@compiled
def _put_any_text(sheet, column, data, begin, end):
    put_size(sheet, column, end - begin)
    put_bytes(sheet, column, data, begin, end)


@inlined
def put_end(sheet, column):
    """End a row of an array: append how many elements there are by now."""
    put_64(sheet, column, sheet.items[column])


@compiled
def put_keys(sheet, column):
    """Append the text of each key, in the order of their numbers."""
    table, begin = sheet.keys.table, np.int64(0)
    for number in range(table.totals[COUNT]):
        end = table.entries[number, END]
        _put_any_text(sheet, column, table.text, begin, end)
        begin = end


@compiled
def repeat_bytes(source, sheet, column, first, times):
    """Append a column of another sheet, which begins at ``first`` there, several times."""
    size = source.used[column] - first
    for _ in range(times):
        _copy(sheet.room, sheet.used[column], source.room, first, size)
        sheet.used[column] += size


@compiled
def repeat_ends(source, sheet, column, times):
    """End several rows of an array, each with as many elements as another sheet counts."""
    for _ in range(times):
        sheet.items[column] += source.items[column]
        put_end(sheet, column)


@inlined
def _copy(room, to, data, begin, size):
    """Copy bytes, eight at a time; the last eight may overlap those before."""
    if size >= 8:
        at = 0
        while at < size - 8:
            _store_64(room, to + at, little_endian(data, begin + at))
            at += 8
        _store_64(room, to + size - 8, little_endian(data, begin + size - 8))
        return
    for at in range(size):
        room[np.uint64(to + at)] = byte_at(data, begin + at)


@inlined
def _copy_widely(room, to, data, begin, size):
    """Copy at least ``size`` bytes, up to 31 more: most texts are as short as that, so there is nothing to guess.

    What is too much lies within the slack of the column, and the next text is written over it.
    """
    for at in range(0, max(size, 1), _WIDE):
        for step in range(0, _WIDE, 8):
            _store_64(room, to + at + step, little_endian(data, begin + at + step))


@inlined
def _store_64(room, to, bits):
    for index in range(8):
        room[np.uint64(to + index)] = np.uint8(bits >> np.uint64(8 * index) & np.uint64(0xFF))
