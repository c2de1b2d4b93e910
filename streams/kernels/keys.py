"""Numbers for the keys of attributes: a key is written once for all columns of a block, and then its number.

::

    key ─▶ is it the one that followed the last key before? ─ yes ─▶ its number
              └─ no ─▶ hash table ─▶ its number, or a new one         (a span has most of its keys in the order of the
                                                                      span before: there is nothing to hash)

What ClickHouse calls a dictionary (``LowCardinality``). It begins anew with each block, so that what numbers a key has,
and whether there is one for it, depends on the block's messages alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kernels.compiled import compiled, inlined
from streams.kernels.interning import COUNT, USED_BYTES, InternTable, intern, intern_table, is_string

MOST_KEYS = 1 << 16
"""A number takes two bytes. A message with a key that gets none is left alone."""

MOST_KEY_BYTES = 4 << 20
"""Of all keys together."""

_EMPTY = np.zeros(1, np.uint8)
_ZERO = np.int64(0)
_SEED = hash("keys")
"""Other in each process: nobody can choose keys that fall together. Numbers follow from the order of keys alone."""


class Keys(NamedTuple):
    """The keys of a block; number 0 is the empty one."""

    table: InternTable
    followed_by: NDArray[np.int32]
    """By key: the one that came after it the last time."""
    last: NDArray[np.int64]
    """The number of the newest key."""


def make_keys(most: int = MOST_KEYS, size_bytes: int = MOST_KEY_BYTES) -> Keys:
    """Return room for so many keys (a power of two), which together have so many bytes."""
    keys = Keys(intern_table(most, size_bytes, _SEED), np.zeros(most, np.int32), np.zeros(1, np.int64))
    forget_keys(keys)
    return keys


def forget_keys(keys: Keys) -> None:
    """Begin anew."""
    keys.table.slots[:] = -1
    keys.table.totals[COUNT] = keys.table.totals[USED_BYTES] = 0
    keys.followed_by[:] = 0
    intern(keys.table, _EMPTY, _ZERO, _ZERO, _ZERO)


@inlined
def number_of(keys, data, begin, end):
    """Return the number of the key ``data[begin:end]``, or `streams.kernels.interning.FULL`."""
    last = np.uint64(keys.last[0])
    number = np.int64(keys.followed_by[last])
    if not is_string(keys.table, number, data, begin, end, _ZERO):
        number = _number_of_another(keys, data, begin, end)
    keys.last[0] = max(number, _ZERO)
    return number


@compiled
def _number_of_another(keys, data, begin, end):
    number = intern(keys.table, data, begin, end, _ZERO)
    if number >= 0:
        keys.followed_by[keys.last[0]] = number
    return number
