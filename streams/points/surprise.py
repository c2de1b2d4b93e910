"""How strange each point of a series is, compared with the stretch before it.

A point, with a few before it, is a vector. Its strangeness is the sum of the squared Mahalanobis distances to its
nearest neighbours among older vectors; how strange is usual is measured on the vectors between those and now. That is
the conformal k-nearest-neighbours detector of Burnaev and Ishimtsev, "Conformalized density- and distance-based
anomaly detection in time-series data" (arXiv 1608.04585), with two differences: instead of the rank among the usual
scores their maximum is the yardstick, so that a series which is judged a million times may stay calm; and two lengths
of vectors are looked at, the larger surprise counting.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from streams.points.config import PointConfig

Floats = NDArray[np.float64]


def surprises(values: Floats, config: PointConfig) -> Floats:
    """Return how many times as strange as the strangest usual point each point is; 0 where too little is known.

    What is said of a point depends on it and those before it alone. Values must be finite.
    """
    said = [_surprises(values, width, config) for width in config.shapes]
    return np.asarray(np.max(said, axis=0))


def alarms(surprise: Floats, config: PointConfig) -> list[int]:
    """Return the places of alarms: surprising points that do not follow another alarm within the rest."""
    found: list[int] = []
    for place in np.flatnonzero(surprise >= config.alarm).tolist():
        if not found or place >= found[-1] + config.rest:
            found.append(place)
    return found


def _surprises(values: Floats, width: int, config: PointConfig) -> Floats:
    if len(values) < width:
        return np.zeros(len(values))
    # Always a copy: to numba a view that nobody may write to is another type, and all is compiled once more for it.
    vectors = np.array(np.lib.stride_tricks.sliding_window_view(values, width), dtype=np.float64, order="C")
    judged = _strangeness(vectors, config.neighbours, config.half, config.least, config.refit, config.ridge)
    return np.concatenate((np.zeros(width - 1), judged))


@njit(cache=True, nogil=True)
def _strangeness(vectors: Floats, neighbours: int, half: int, least: int, refit: int, ridge: float) -> Floats:
    """Return the strangeness of each vector over the largest usual one."""
    count, width = vectors.shape
    strange = np.full(count, -1.0)
    judged = np.zeros(count)
    whitened = vectors.copy()
    due = 0
    for now in range(1, count):
        first = max(0, now - 2 * half)
        older = min(half, (now - first) // 2)
        if older < max(neighbours, width):
            continue
        if now >= due:
            due = now + min(refit, max(10, older // 2))
            end = min(count, due)
            np.dot(vectors[first:end], _whitening(vectors[first : first + older], ridge), whitened[first:end])
        strange[now] = _to_nearest(whitened, now, first, first + older, neighbours)
        usual = strange[first + older : now]
        known = usual[usual >= 0]
        if len(known) >= least:
            judged[now] = strange[now] / max(known.max(), 1e-12)
    return judged


@njit(cache=True, nogil=True)
def _whitening(rows: Floats, ridge: float) -> Floats:
    """Return the matrix that makes Euclidean distances Mahalanobis ones (of the second moments of these rows)."""
    moments = rows.T @ rows / len(rows)
    width = len(moments)
    mean = np.trace(moments) / width
    for one in range(width):
        moments[one, one] += ridge * mean + 1e-12
    return np.ascontiguousarray(np.linalg.cholesky(np.linalg.inv(moments)))


@njit(cache=True, nogil=True)
def _to_nearest(rows: Floats, now: int, first: int, end: int, neighbours: int) -> float:
    """Return the sum of the squared distances of a row to its nearest ones in a range."""
    nearest = np.full(neighbours, np.inf)
    for other in range(first, end):
        distance = 0.0
        for column in range(rows.shape[1]):
            apart = rows[now, column] - rows[other, column]
            distance += apart * apart
        if distance < nearest[-1]:
            place = neighbours - 1
            while place > 0 and nearest[place - 1] > distance:
                nearest[place] = nearest[place - 1]
                place -= 1
            nearest[place] = distance
    return float(nearest.sum())
