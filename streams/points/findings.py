"""Which metrics of a service went off their past around an onset: series in, the most surprising ones out.

A metric explains and never opens an incident. Cumulative sums are looked at as rates; where the counter falls it began
anew, and that interval is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from schemas.pins import MetricChange
from schemas.queries import MetricSeries
from streams.points.config import PointConfig
from streams.points.surprise import Floats, surprises

MOST_METRICS = 10
EARLY_NS = 120 * 1_000_000_000
"""Metrics are often one a minute, and resources may go off before requests do."""

_MOST = 1000.0
_SQUARES_FIT = 1e100
"""Larger values are made smaller first: a limit that means "none" is often the largest number there is."""
_LAST_NS = 2**63 - 1
"""Times are kept as they were sent, and may be beyond any clock."""


def off_metrics(
    series: Iterable[MetricSeries], onset_ns: int, config: PointConfig | None = None, most: int = MOST_METRICS
) -> list[MetricChange]:
    """Return the series with an alarm since shortly before the onset, most surprising first; ties by name."""
    judged = (_change(one, onset_ns, config or PointConfig()) for one in series)
    found = [one for one in judged if one is not None]
    found.sort(key=lambda one: (-one.surprise, one.metric, one.instance, sorted(one.attributes.items())))
    return found[:most]


def _change(series: MetricSeries, onset_ns: int, config: PointConfig) -> MetricChange | None:
    times, values = _points(series)
    since, before = times >= onset_ns - EARLY_NS, times < onset_ns - EARLY_NS
    if not since.any() or not before.any():
        return None
    largest = float(np.abs(values).max())
    if not np.isfinite(largest):
        return None
    surprise = np.where(since, surprises(values / largest if largest > _SQUARES_FIT else values, config), 0.0)
    off = np.flatnonzero(surprise >= config.alarm)
    if not off.size:
        return None
    peak = int(surprise.argmax())
    return MetricChange(
        metric=series.metric, unit=series.unit, instance=series.instance, attributes=series.attributes,
        is_rate=series.is_cumulative, usual=round(float(np.median(values[before])), 6),
        value=round(float(values[peak]), 6), surprise=round(min(_MOST, float(surprise[peak])), 3),
        since_ns=int(times[off[0]]),
    )  # fmt: skip


def _points(series: MetricSeries) -> tuple[np.ndarray[tuple[int], np.dtype[np.int64]], Floats]:
    """Return instants and values: of a counter its increase a second, at the end of each interval."""
    known = [place for place, when in enumerate(series.unix_nano) if when <= _LAST_NS]
    times = np.array([series.unix_nano[place] for place in known], np.int64)
    values = np.array([series.values[place] for place in known], np.float64)
    if not series.is_cumulative:
        return times, values
    with np.errstate(over="ignore", invalid="ignore"):
        spans, rises = np.diff(times), np.diff(values)
    kept = (spans > 0) & (rises >= 0)
    return times[1:][kept], rises[kept] / (spans[kept] / 1e9)
