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
    found = keys[cells.first]
    instances = runs_in(found // (2 * _BINS), found)
    starts = instances.starts.tolist()
    order = np.argsort(np.minimum.reduceat(cells.first, starts)).tolist() if starts else []
    for place in order:
        cell = slice(int(instances.starts[place]), int(instances.ends[place]))
        home, instance = divmod(int(found[cell.start]) // (2 * _BINS), len(names))
        yield home, names[instance], _tally(found[cell], cells.counts[cell])


def _tally(keys: Ints, counts: Ints) -> InstanceTally:
    tally = InstanceTally(int(counts.sum()), int(counts[keys % 2 == 1].sum()))
    for key, count in zip(keys.tolist(), counts.tolist(), strict=True):
        latency_bin = (key // 2 % _BINS << _DROPPED_BITS) + (1 << _DROPPED_BITS - 1)
        tally.latency[latency_bin] = tally.latency.get(latency_bin, 0) + count
    return tally
