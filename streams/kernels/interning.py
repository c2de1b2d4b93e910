"""Give equal byte strings equal small numbers: a hash table in arrays, kept from batch to batch.

A string has a *category*, a number that says how its text is made later; strings of different categories are
different. A table that is full answers `FULL`, and its owner makes a larger one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kernels.compiled import compiled, inlined
from streams.kernels.wire import byte_at, little_endian

FULL = -3

END, CATEGORY, HASH = 0, 1, 2
"""Columns of ``InternTable.entries``."""

COUNT, USED_BYTES, SEED = 0, 1, 2
"""Places in ``InternTable.totals``."""

_ONE = np.uint64(0xBF58476D1CE4E5B9)
_TWO = np.uint64(0x94D049BB133111EB)
_SHIFT = np.uint64(31)


class InternTable(NamedTuple):
    """Strings one after the other in ``text``; where each ends, its category and hash; the slots of the hash table."""

    text: NDArray[np.uint8]
    entries: NDArray[np.int64]
    slots: NDArray[np.int32]
    """-1: free. As many as a power of two, at least twice as many as ``entries``."""
    totals: NDArray[np.int64]
    """The seed is another in each process, so that nobody can choose names that fall together."""


def intern_table(names: int, size_bytes: int, seed: int) -> InternTable:
    """Return an empty table with room for so many names (a power of two), which together have so many bytes."""
    return InternTable(
        np.zeros(size_bytes, np.uint8), np.zeros((names, 3), np.int64), np.full(2 * names, -1, np.int32),
        np.array([0, 0, seed], np.int64),
    )  # fmt: skip


@compiled
def intern(table, data, begin, end, category):
    """Return the number of ``data[begin:end]``, a new one if it has none yet, or `FULL`."""
    wanted = np.int64(hash_bytes(data, begin, end, np.uint64(table.totals[SEED] + category)))
    mask = np.uint64(len(table.slots) - 1)
    slot = np.uint64(wanted) & mask
    while table.slots[slot] >= 0:
        number = np.int64(table.slots[slot])
        if table.entries[number, HASH] == wanted and is_string(table, number, data, begin, end, category):
            return number
        slot = (slot + np.uint64(1)) & mask
    number, first = table.totals[COUNT], table.totals[USED_BYTES]
    if number >= len(table.entries) or end - begin > len(table.text) - first:
        return np.int64(FULL)
    for index in range(end - begin):
        table.text[np.uint64(first + index)] = byte_at(data, begin + index)
    table.slots[slot] = number
    table.entries[number, END], table.entries[number, CATEGORY] = first + end - begin, category
    table.entries[number, HASH] = wanted
    table.totals[COUNT], table.totals[USED_BYTES] = number + 1, first + end - begin
    return number


@compiled
def refill(table):
    """Put all strings into the slots, which are free now."""
    mask = np.uint64(len(table.slots) - 1)
    for number in range(table.totals[COUNT]):
        slot = np.uint64(table.entries[number, HASH]) & mask
        while table.slots[slot] >= 0:
            slot = (slot + np.uint64(1)) & mask
        table.slots[slot] = number


@inlined
def are_equal(text, first, data, begin, end):
    """Tell whether ``data[begin:end]`` stands in ``text`` from ``first`` on."""
    shift, size = first - begin, end - begin
    if size >= 8:
        while end - begin > 8:
            if little_endian(text, begin + shift) != little_endian(data, begin):
                return False
            begin += 8
        return little_endian(text, end - 8 + shift) == little_endian(data, end - 8)
    while begin < end:
        if byte_at(text, begin + shift) != byte_at(data, begin):
            return False
        begin += 1
    return True


@inlined
def hash_bytes(data, begin, end, seed):
    """Multiply and shift, eight bytes at a time, as SplitMix64 does at its end (`streams.mixing`).

    The last eight may overlap those before.
    """
    mixed = seed + np.uint64(end - begin) * _TWO
    rest = np.uint64(0)
    if end - begin >= 8:
        at = begin
        while end - at > 8:
            mixed = (mixed ^ little_endian(data, at)) * _ONE
            mixed ^= mixed >> _SHIFT
            at += 8
        rest = little_endian(data, end - 8)
    else:
        for at in range(begin, end):
            rest = rest << np.uint64(8) | np.uint64(byte_at(data, at))
    mixed = (mixed ^ rest) * _TWO
    return mixed ^ (mixed >> _SHIFT)


@inlined
def is_string(table, number, data, begin, end, category):
    """Tell whether ``data[begin:end]`` is the string of that number."""
    first = table.entries[number - 1, END] if number > 0 else 0
    if table.entries[number, CATEGORY] != category or table.entries[number, END] - first != end - begin:
        return False
    return are_equal(table.text, first, data, begin, end)
