"""The latency sketch: integer bins of equal relative width, a mergeable histogram with 1.6 % error.

A duration's bin is the exponent and the first five mantissa bits of its float32 form, so 32 bins span a
doubling and a bin's midpoint is at most 1/64 off. Sketches are ``dict[bin, count]``: merging is addition.
The idea is that of DDSketch (Masson, Rim, Lee: VLDB 2019) with the logarithm left to the float's encoding.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
from numpy.typing import NDArray

from streams.grouping import Ints, runs_in

SHIFT = 18
BIN_COUNT = 1 << (31 - SHIFT)
"""Bins are in ``[0, BIN_COUNT)``: they fit 13 bits."""

Bins = dict[int, int]
"""A sketch: how many values fell in each bin; absent means 0."""


def bin_of(duration_ns: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return the bin of each duration in nanoseconds; negative ones count as 0."""
    bits = np.maximum(duration_ns, 0).astype(np.float32).view(np.int32)
    return bits >> SHIFT


def first_bin_over(threshold_ns: int) -> int:
    """Return the first bin all of whose values are over the threshold (at it, where it is the edge of a bin).

    What shares a bin with a threshold that is no edge counts as under it: the true threshold is the next edge, at most
    3.1 % later. So nobody is told to be too slow who is not.
    """
    bits = int(np.array([threshold_ns], np.float32).view(np.int32)[0])
    return (bits + (1 << SHIFT) - 1) >> SHIFT


def count_over(bins: Mapping[int, int], threshold_ns: int) -> int:
    """Return how many values are surely over the threshold (see `first_bin_over`)."""
    first = first_bin_over(threshold_ns)
    return sum(count for bin_index, count in bins.items() if bin_index >= first)


def value_of(bin_index: int) -> float:
    """Return the midpoint of a bin in nanoseconds (bin 0 is zero)."""
    if bin_index <= 0:
        return 0.0
    return float(np.array([(bin_index << SHIFT) | (1 << (SHIFT - 1))], dtype=np.int32).view(np.float32)[0])


VALUES_NS: tuple[float, ...] = tuple(value_of(i) for i in range(0x7F800000 >> SHIFT))
"""Midpoints of all finite bins."""


def merge(sketches: Iterable[Mapping[int, int]]) -> Bins:
    """Add sketches up."""
    total: Bins = {}
    for sketch in sketches:
        add_into(total, sketch)
    return total


def add_into(total: Bins, sketch: Mapping[int, int]) -> None:
    """Add ``sketch`` to ``total`` in place."""
    if not total:
        total.update(sketch)
        return
    for bin_index, count in sketch.items():
        total[bin_index] = total.get(bin_index, 0) + count


def sketches_of(keys: Ints, counts: Ints, bins: int) -> list[Bins]:
    """Return the sketch of each run of equal ``keys // bins``; the rest of a key is a bin. Keys ascend."""
    cells = runs_in(keys, keys)
    owner, place = np.divmod(keys[cells.starts], bins)
    places, totals = place.tolist(), np.add.reduceat(counts, cells.starts).tolist()
    runs = runs_in(owner, owner)
    return [
        dict(zip(places[start:end], totals[start:end], strict=True))
        for start, end in zip(runs.starts.tolist(), runs.ends.tolist(), strict=True)
    ]


def quantile_ns(bins: Mapping[int, int], q: float) -> float | None:
    """Return the ``q`` quantile (nearest rank, 0 <= q <= 1) in nanoseconds, or ``None`` of an empty sketch."""
    return quantiles_ns(bins, (q,))[0]


def quantiles_ns(bins: Mapping[int, int], qs: tuple[float, ...]) -> list[float | None]:
    """Return several quantiles with one pass; ``qs`` must ascend. A bin of which all was taken back counts as empty."""
    held = {bin_index: count for bin_index, count in bins.items() if count > 0}
    total = sum(held.values())
    if total == 0:
        return [None] * len(qs)
    found: list[float | None] = []
    ordered = iter(sorted(held.items()))
    bin_index, seen = next(ordered)
    for q in qs:
        rank = max(1, math.ceil(q * total - 1e-9))
        while seen < rank:
            bin_index, count = next(ordered)
            seen += count
        found.append(VALUES_NS[bin_index])
    return found


def quantile_ms(bins: Mapping[int, int], q: float) -> float | None:
    """Return the ``q`` quantile in milliseconds, or ``None`` of an empty sketch."""
    value = quantile_ns(bins, q)
    return None if value is None else value / 1e6
