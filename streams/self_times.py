"""The time that services spent themselves, of the spans of a pane (`streams.families`)."""

from __future__ import annotations

import numpy as np

from streams.families import NONE, Family
from streams.grouping import Ints

_MAX_DOUBLINGS = 20
"""Reaches ancestors 2**20 levels up; a chain that has not ended by then is a cycle."""


def self_times_of(family: Family) -> tuple[Ints, Ints]:
    """Return rows of the family's pane and their self time (ns); client and producer spans have none.

    Of an entry span: its duration not covered by calls its service made below it. Of another span: its
    duration not covered by its direct children.
    """
    measured = np.flatnonzero(family.own & ~family.is_out)
    calls, callers = _calls(family)
    inner = np.flatnonzero((family.parent >= 0) & ~family.is_entry[family.parent])
    children = np.concatenate((calls, inner))
    owners = np.concatenate((callers, family.parent[inner]))
    wanted = family.own[owners]
    covered_ns = _covered_ns(family, children[wanted], owners[wanted])
    return measured, family.duration_ns[measured] - covered_ns[measured]


def _calls(family: Family) -> tuple[Ints, Ints]:
    """Return the spans that leave a service, and for each the entry span of the service it was made for."""
    entries = _entries(family)
    out = np.flatnonzero(family.is_out & (entries >= 0))
    crossing = np.flatnonzero(family.foreign)
    direct = crossing[entries[family.parent[crossing]] >= 0]
    calls = np.concatenate((out, direct))
    callers = np.concatenate((entries[out], entries[family.parent[direct]]))
    return calls, callers


def _entries(family: Family) -> Ints:
    """Climb from each span to the entry span above it in the same service; -1 where there is none."""
    rows = np.arange(len(family.spans))
    stays = family.is_entry | (family.parent < 0) | family.foreign
    up = np.where(stays, rows, family.parent)
    for _ in range(_MAX_DOUBLINGS):
        further = up[up]
        if np.array_equal(further, up):
            break
        up = further
    return np.where(stays[up] & family.is_entry[up], up, NONE)


def _covered_ns(family: Family, children: Ints, owners: Ints) -> Ints:
    """Return for each row how much of it the union of its children's intervals covers (ns)."""
    covered = np.zeros(len(family.spans), dtype=np.int64)
    begin = np.maximum(family.spans.start_ns[children], family.spans.start_ns[owners])
    end = np.minimum(family.spans.end_ns[children], family.spans.end_ns[owners])
    real = end > begin
    begin, end, owners = begin[real], end[real], owners[real]
    order = np.lexsort((end, begin, owners))
    begin, end, owners = begin[order], end[order], owners[order]
    reached = _running_max(end - family.spans.start_ns[owners], owners) + family.spans.start_ns[owners]
    before = np.empty_like(reached)
    before[1:] = reached[:-1]
    fresh = np.ones(len(owners), dtype=np.bool_)
    fresh[1:] = owners[1:] != owners[:-1]
    before[fresh] = begin[fresh]
    np.add.at(covered, owners, np.maximum(end - np.maximum(begin, before), 0))
    return covered


def _running_max(values: Ints, groups: Ints) -> Ints:
    """Return the running maximum of non-negative values within each group of ascending, adjacent groups."""
    if not len(values):
        return values
    number = np.zeros(len(groups), dtype=np.int64)
    number[1:] = np.cumsum(groups[1:] != groups[:-1])
    stride = int(values.max()) + 1
    if int(number[-1]) * stride < 1 << 62:
        return np.maximum.accumulate(values + number * stride) - number * stride
    cuts = np.flatnonzero(np.diff(number)) + 1
    return np.concatenate([np.maximum.accumulate(part) for part in np.split(values, cuts)])
