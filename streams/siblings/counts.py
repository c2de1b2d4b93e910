"""The requests of a pane by instance, and how many of them were slow or failed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.health import InstanceHealth
from streams.latency import first_bin_over

Floats = NDArray[np.float64]


class Counts(NamedTuple):
    """Requests by instance, and hits by instance and kind; and the same of all siblings of each."""

    requests: Floats
    hits: Floats
    beside: Floats
    beside_hits: Floats


def count_hits(counted: Sequence[InstanceHealth], place: Mapping[str, int], line_ms: float) -> Counts:
    """Return what is counted of each instance, in its place; `line_ms` is from where on requests are slow."""
    first = first_bin_over(int(line_ms * 1e6))
    slow = [sum([n for at, n in one.durations.items() if at >= first]) for one in counted]
    found = np.zeros((3, len(place)))
    found[:, [place[one.instance] for one in counted]] = (
        [one.requests for one in counted],
        slow,
        [one.errors for one in counted],
    )
    requests = np.maximum(found[0], 0.0)
    hits = np.minimum(np.maximum(found[1:], 0.0), requests).T
    return Counts(requests, hits, requests.sum() - requests, hits.sum(axis=0) - hits)
