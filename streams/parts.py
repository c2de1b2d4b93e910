"""Count the requests of a service by its instances, or by its versions, from a batch of its entry spans."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.contents import PartTally
from streams.grouping import Ints, groups_of, pack, runs_in
from streams.latency import BIN_COUNT, sketches_of

_WIDTH = 4
"""Bins four times as wide as a service's: what tells instances apart is not the last few per cent."""


class Requests(NamedTuple):
    """Entry spans, a column a field; ``home`` and ``part`` are numbers; a part below 0 is not known."""

    home: Ints
    part: Ints
    latency_bin: NDArray[np.int32]
    error: NDArray[np.bool_]


def tally_parts(requests: Requests, names: Sequence[str]) -> Iterator[tuple[int, str, PartTally]]:
    """Yield (home, name, tally) of each part, in order of first appearance."""
    known = np.flatnonzero(requests.part >= 0)
    wide = np.maximum(requests.latency_bin[known], 0) // _WIDTH
    keys = pack(
        (requests.home[known], 0),
        (requests.part[known], len(names)),
        (wide * _WIDTH + _WIDTH // 2, BIN_COUNT),  # in the middle of its wide bin
        (requests.error[known], 2),
    )
    cells = groups_of(keys)
    if not len(known):
        return
    found = keys[cells.first]
    runs = runs_in(found // (2 * BIN_COUNT), found)
    counts = (np.add.reduceat(column, runs.starts) for column in (cells.counts, cells.counts * (found % 2)))
    homes, instances = np.divmod(found[runs.starts] // (2 * BIN_COUNT), len(names))
    told = (column.tolist() for column in (homes, instances, *counts))
    each = list(zip(*told, sketches_of(found // 2, cells.counts, BIN_COUNT), strict=True))
    for place in np.argsort(np.minimum.reduceat(cells.first, runs.starts)).tolist():
        home, part, requests_of, errors, latency = each[place]
        yield home, names[part], PartTally(requests_of, errors, latency)
