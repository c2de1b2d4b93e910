"""Number equal keys: a hash table of rows in place of a sort."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.kernels.compiled import compiled

_ONE = np.uint64(0xBF58476D1CE4E5B9)
_TWO = np.uint64(0x94D049BB133111EB)
_SHIFT_A, _SHIFT_B = np.uint64(30), np.uint64(27)


@compiled
def group_rows(
    keys: NDArray[np.int64],
    slots: NDArray[np.int32],
    number: NDArray[np.int32],
    first: NDArray[np.int64],
    last: NDArray[np.int64],
    counts: NDArray[np.int64],
) -> int:
    """Number the distinct keys in order of appearance, and return how many there are.

    Of each row its ``number``; of each number its first and last row and how many it has. ``slots`` are all -1, a power
    of two and more than there are rows; the others have room for all rows.
    """
    mask = np.uint64(len(slots) - 1)
    groups = 0
    for row in range(len(keys)):
        key = keys[row]
        mixed = np.uint64(key)
        mixed = (mixed ^ (mixed >> _SHIFT_A)) * _ONE
        slot = (mixed ^ (mixed >> _SHIFT_B)) * _TWO & mask
        while slots[slot] >= 0 and keys[first[slots[slot]]] != key:
            slot = (slot + np.uint64(1)) & mask
        group = slots[slot]
        if group < 0:
            group = slots[slot] = groups
            first[group], counts[group] = row, 0
            groups += 1
        number[row], last[group] = group, row
        counts[group] += 1
    return groups
