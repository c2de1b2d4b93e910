"""Count the requests of a service by its instances, from a batch of its entry spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.grouping import Ints, groups_of, pack, runs_in
from streams.latency import BIN_COUNT
from streams.partials import InstanceTally

_DROPPED_BITS = 2
_BINS = BIN_COUNT >> _DROPPED_BITS
"""Bins four times as wide as a service's: what tells instances apart is not the last few per cent."""


class Requests(NamedTuple):
    """Entry spans, a column a field; ``home`` and ``instance`` are numbers, an instance below 0 is not known."""

    home: Ints
    instance: Ints
    latency_bin: NDArray[np.int32]
    error: NDArray[np.bool_]


def tally_instances(requests: Requests, names: Sequence[str]) -> Iterator[tuple[int, str, InstanceTally]]:
    """Yield (home, name, tally) of each instance, in order of first appearance."""
    known = np.flatnonzero(requests.instance >= 0)
    keys = pack(
        (requests.home[known], 0),
        (requests.instance[known], len(names)),
        (np.maximum(requests.latency_bin[known], 0) >> _DROPPED_BITS, _BINS),
        (requests.error[known], 2),
    )
    cells = groups_of(keys)
    if not len(known):
        return
    found = keys[cells.first]
    runs = runs_in(found // (2 * _BINS), found)
    counts = (np.add.reduceat(column, runs.starts) for column in (cells.counts, cells.counts * (found % 2)))
    homes, instances = np.divmod(found[runs.starts] // (2 * _BINS), len(names))
    told = (column.tolist() for column in (homes, instances, *counts))
    each = list(zip(*told, _latencies(found, cells.counts), strict=True))
    for place in np.argsort(np.minimum.reduceat(cells.first, runs.starts)).tolist():
        home, instance, requests_of, errors, latency = each[place]
        yield home, names[instance], InstanceTally(requests_of, errors, latency)


def _latencies(keys: Ints, counts: Ints) -> list[dict[int, int]]:
    """Return the latencies of each instance, in the middle of their wide bins, spans with errors and without."""
    bins = runs_in(keys // 2, keys)
    instance, wide = np.divmod(keys[bins.starts] // 2, _BINS)
    middle = (wide << _DROPPED_BITS) + (1 << _DROPPED_BITS - 1)
    pairs = list(zip(middle.tolist(), np.add.reduceat(counts, bins.starts).tolist(), strict=True))
    runs = runs_in(instance, instance)
    return [dict(pairs[start:end]) for start, end in zip(runs.starts.tolist(), runs.ends.tolist(), strict=True)]
