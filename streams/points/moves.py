"""How far a metric left its own past since an onset: robust, and modest where few points are known.

Metrics come once a minute, so the past may be four points. A point counts by its distance from their median in scales,
a scale being the largest of the median absolute deviation (times 1.4826), a tenth of the median, a third of how far the
past itself went, and for whole numbers, which are counts, the square root of the median; with n points known it is
1 + 6 / n times that. Strength is that of a latency: log10 of a third of the scales, the mean over the points since the
onset: 0 up to three scales, 1 at thirty, 3 at most. Up and down count alike: of a metric nobody knows which is worse.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from schemas.snapshots import MetricFinding
from streams.points.courses import Course
from streams.windows import SECOND_NS

MOST_METRICS = 5
LEAST_KNOWN = 4
"""Points before the onset without which nothing is said."""

_LEAST_STRENGTH = 0.1
_LEAST_SCALES = 3.0
_MOST_SCALES = 3_000.0
_RELATIVE = 0.10
_INFLATION = 6.0

Floats = NDArray[np.float64]


def moves_of(courses: Iterable[Course], start_ns: int, end_ns: int) -> list[MetricFinding]:
    """Return the series that moved in [start_ns, end_ns), the farthest first; ties by name."""
    judged = (_move(course, start_ns, end_ns) for course in courses)
    found = [one for one in judged if one is not None]
    found.sort(key=lambda one: (-one.strength, one.metric, one.instance, sorted(one.attributes.items())))
    return found[:MOST_METRICS]


def _move(course: Course, start_ns: int, end_ns: int) -> MetricFinding | None:
    times, values = _readings(course)
    before = values[times < start_ns]
    since = values[(times >= start_ns) & (times < end_ns)]
    if len(before) < LEAST_KNOWN or not len(since):
        return None
    usual = float(np.median(before))
    scales = np.abs(since - usual) / scale_of(before, is_count=not course.series.is_counter)
    strength = float(np.mean(_strengths(scales)))
    if not strength >= _LEAST_STRENGTH:
        return None
    series, value = course.series, float(since[int(scales.argmax())])
    return MetricFinding(
        metric=series.metric, unit=series.unit, instance=series.instance, attributes=dict(series.attributes),
        is_rate=series.is_counter, usual=_rounded(usual), value=_rounded(value), strength=round(strength, 4),
        points=len(since), known=len(before),
    )  # fmt: skip


def scale_of(before: Floats, is_count: bool) -> float:
    """Return how far from the median of these values a point may well be; never 0."""
    usual = float(np.median(before))
    away = np.abs(before - usual)
    widths = [1.4826 * float(np.median(away)), _RELATIVE * abs(usual), float(away.max()) / 3.0]
    if is_count and bool(np.all(before == np.floor(before))):
        widths.append(math.sqrt(max(1.0, abs(usual))))
    return max(*widths, 1e-12) * (1.0 + _INFLATION / len(before))


def _strengths(scales: Floats) -> Floats:
    held = np.minimum(np.maximum(scales, _LEAST_SCALES), _MOST_SCALES)
    return np.log10(held / _LEAST_SCALES)


def _readings(course: Course) -> tuple[NDArray[np.int64], Floats]:
    """Return instants and values that can be compared: of a counter its increase a second, but where it began anew."""
    times = np.array([point.time_ns for point in course.points], np.int64)
    values = np.array([point.value for point in course.points], np.float64)
    if not course.series.is_counter:
        return times, values
    spans, rises = np.diff(times), np.diff(values)
    kept = (spans > 0) & (rises >= 0)
    return times[1:][kept], rises[kept] / (spans[kept] / SECOND_NS)


def _rounded(value: float) -> float:
    """Return six significant digits: metrics come in all sizes."""
    return float(f"{value:.6g}")
