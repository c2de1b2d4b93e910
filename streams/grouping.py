"""Group rows of columns by integer keys: one stable sort, or one compiled pass, instead of a dictionary a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.kernels.compiled import IS_COMPILED
from streams.kernels.grouping import group_rows

Ints = NDArray[np.int64]


class Runs(NamedTuple):
    """Rows ordered by key, and where each run of equal keys starts and ends in that order."""

    order: Ints
    starts: Ints
    ends: Ints

    @property
    def first(self) -> Ints:
        """The first row of each run, in the rows' own order (the sort is stable)."""
        return self.order[self.starts]

    @property
    def last(self) -> Ints:
        """The last row of each run."""
        return self.order[self.ends - 1]

    @property
    def counts(self) -> Ints:
        """How many rows each run has."""
        return self.ends - self.starts


def runs_of(keys: Ints) -> Runs:
    """Group rows by key; runs come in ascending order of key."""
    order = np.argsort(_narrow(keys), kind="stable")
    return runs_in(keys[order], order)


class Groups(NamedTuple):
    """The distinct keys of rows, in ascending order; of each its first row, its last row, and how many it has."""

    first: Ints
    last: Ints
    counts: Ints
    number: Ints
    """For each row the number of its group."""


def groups_of(keys: Ints, is_compiled: bool = IS_COMPILED) -> Groups:
    """Group rows by key, as `runs_of` does for those who do not ask for all rows of a group together."""
    return _hashed_groups(keys) if is_compiled else _sorted_groups(keys)


def _sorted_groups(keys: Ints) -> Groups:
    runs = runs_of(keys)
    number = np.empty(len(keys), dtype=np.int64)
    number[runs.order] = np.repeat(np.arange(len(runs.starts)), runs.counts)
    return Groups(runs.first, runs.last, runs.counts, number)


def _hashed_groups(keys: Ints) -> Groups:
    rows = len(keys)
    slots = np.full(2 << rows.bit_length(), -1, dtype=np.int32)
    number = np.empty(rows, dtype=np.int32)
    first, last, counts = np.empty((3, rows), dtype=np.int64)
    found = group_rows(keys, slots, number, first, last, counts)
    order = np.argsort(keys[first[:found]])
    rank = np.empty(found, dtype=np.int64)
    rank[order] = np.arange(found)
    return Groups(first[order], last[order], counts[order], rank[number])


def _narrow(keys: Ints) -> NDArray[np.int64] | NDArray[np.uint16]:
    """Return small keys as integers that numpy sorts by radix, in linear time."""
    is_small = len(keys) > 0 and keys.min() >= 0 and keys.max() < 1 << 16
    return keys.astype(np.uint16) if is_small else keys


def runs_in(ordered_keys: NDArray[np.int64] | NDArray[np.uint64], order: Ints) -> Runs:
    """Group rows that are already ordered by key."""
    count = len(ordered_keys)
    cuts = np.flatnonzero(ordered_keys[1:] != ordered_keys[:-1]) + 1
    starts = np.concatenate((np.zeros(min(count, 1), dtype=np.int64), cuts))
    ends = np.concatenate((cuts, np.full(min(count, 1), count, dtype=np.int64)))
    return Runs(order, starts, ends)


def pack(*parts: tuple[NDArray[np.generic], int]) -> Ints:
    """Combine columns into one key; each part is (values in [0, size), size). Sizes must multiply to < 2**63."""
    key = parts[0][0].astype(np.int64)
    for values, size in parts[1:]:
        key = key * size + values.astype(np.int64)
    return key


def spread(values: Sequence[int], counts: Sequence[int]) -> Ints:
    """Repeat each record's value for each of its items."""
    return np.repeat(np.array(values, dtype=np.int64), counts)
