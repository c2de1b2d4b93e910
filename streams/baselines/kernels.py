"""The arithmetic over trailing panes, compiled: every pane asks it of every series."""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@njit(cache=True, nogil=True)
def describe(
    past: NDArray[np.float32], floors: Floats, relative: float, inflation: float, limits: Floats, priors: Floats,
    prior_panes: float,
) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
    """Return what trailing panes say (series x tracks): median, scale, count, and how often each limit was exceeded.

    `past` is series x tracks x panes, NaN = unknown; `floors` are the smallest scales by series. The scale is the
    median absolute deviation (x 1.4826), at least `relative` of the median and the floor, times
    1 + `inflation` / count. Exceedances of `limits` scales are shares with a prior worth `prior_panes` panes.
    """
    series, tracks, panes = past.shape
    medians = np.zeros((series, tracks))
    scales = np.zeros((series, tracks))
    counts = np.zeros((series, tracks))
    usual = np.zeros((series, tracks, len(limits)))
    known = np.empty(panes)
    for one in range(series):
        for track in range(tracks):
            count = 0
            for pane in range(panes):
                value = past[one, track, pane]
                if not np.isnan(value):
                    known[count] = value
                    count += 1
            counts[one, track] = count
            if count > 0:
                median = np.median(known[:count])
                spread = 1.4826 * np.median(np.abs(known[:count] - median))
                widest = max(spread, relative * abs(median), floors[one])
                medians[one, track] = median
                scales[one, track] = widest * (1.0 + inflation / count)
            for place, limit in enumerate(limits):
                over = 0
                for pane in range(count):
                    if known[pane] - medians[one, track] >= limit * scales[one, track]:
                        over += 1
                usual[one, track, place] = (over + prior_panes * priors[place]) / (count + prior_panes)
    return medians, scales, counts, usual


@njit(cache=True, nogil=True)
def center(values: NDArray[np.float32]) -> tuple[float, float]:
    """Return median and robust standard deviation (median absolute deviation x 1.4826) of some numbers."""
    median = np.median(values)
    return float(median), float(1.4826 * np.median(np.abs(values - median)))


@njit(cache=True, nogil=True)
def better_since(
    past: NDArray[np.float32], requests: NDArray[np.float32], panes: int, least_requests: float, least_ms: float
) -> NDArray[np.int64]:
    """Return by series the column from which it is clearly better than before; 0 for none.

    Clearly better: in one of the tracks each of the last `panes` known columns is under the 5th percentile of the
    older ones and under half their median, by `least_ms` at least; and they saw `least_requests` requests.
    """
    series, tracks, columns = past.shape
    cuts = np.zeros(series, np.int64)
    for one in range(series):
        for track in range(tracks):
            known = np.flatnonzero(~np.isnan(past[one, track]))
            if len(known) < 2 * panes or cuts[one] > 0:
                continue
            cut = known[-panes]
            seen = 0.0
            for column in range(cut, columns):
                if not np.isnan(requests[column]):
                    seen += requests[column]
            worst_now = np.max(past[one, track][known[-panes:]])
            older = np.sort(past[one, track][known[:-panes]])
            usual = np.median(older)
            place = 0.05 * (len(older) - 1)
            low = int(place)
            high = min(low + 1, len(older) - 1)
            fifth = older[low] + (place - low) * (older[high] - older[low])
            far_below = worst_now <= min(usual / 2, usual - least_ms)
            if far_below and worst_now < fifth and seen >= least_requests:
                cuts[one] = cut
    return cuts
