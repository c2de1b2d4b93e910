"""What single metrics did in the last half hour, one point each half minute: small enough to be kept for every service.

Points come from several source partitions in any order and may come again. Of each half minute the earliest point
counts, so nothing that is told twice, or in another order, changes anything. A service has many metrics: kept are those
that come first by `precedence`, which is the same wherever and whenever it is asked.
"""

from __future__ import annotations

import zlib
from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from streams.windows import SECOND_NS

KEEP_NS = 1800 * SECOND_NS
STEP_NS = 30 * SECOND_NS
MOST_SERIES = 24
"""Of one service, over all its instances and attributes."""
MOST_OF_TENANT = 4_000
"""Series of one tenant; points of more are counted as lost (`TenantCourses.step`)."""

_RESOURCES = (b"cpu", b"memory", b"heap", b"disk", b"thread", b"gc.", b"queue", b"connection", b"throttl")
"""What resources are called in the semantic conventions and elsewhere: kept before anything else."""

Attributes = tuple[tuple[str, str], ...]


class SeriesName(NamedTuple):
    """Which metric of which instance of which service."""

    service: str
    instance: str
    metric: str
    unit: str
    is_counter: bool
    attributes: Attributes


class Point(NamedTuple):
    """One value, when it was measured, and when its record arrived (ns)."""

    time_ns: int
    value: float
    arrival_ns: int


class Course(NamedTuple):
    """The points of one series, by time."""

    series: SeriesName
    points: list[Point]


Rank = tuple[bool, int]
"""The place of a metric among those of its service, by its name alone."""
_LAST: Rank = (True, 1 << 32)
Order = tuple[Rank, int, SeriesName]


@lru_cache(maxsize=100_000)
def rank_of(metric: bytes) -> Rank:
    """Return where a metric of this name stands: resources first, then as it happens, but everywhere alike."""
    name = metric.lower()
    return not any(word in name for word in _RESOURCES), zlib.crc32(name)


def precedence(series: SeriesName) -> Order:
    """Return the order in which the series of a service are kept: by metric, its instances together."""
    return rank_of(series.metric.encode()), zlib.crc32(repr((series.instance, series.attributes)).encode()), series


@dataclass(slots=True)
class Kept:
    """The series of one service that are kept, those that come first of all that were ever asked about."""

    most: int = MOST_SERIES
    _order: list[Order] = field(default_factory=list)
    _held: set[SeriesName] = field(default_factory=set)

    def last(self) -> Rank:
        """Return the rank beyond which no metric has a series that would be kept."""
        return self._order[-1][0] if len(self._order) >= self.most else _LAST

    def takes(self, series: SeriesName) -> bool:
        """Tell whether a series is kept; the last one makes room for it when it comes before that."""
        if series in self._held:
            return True
        key = precedence(series)
        if len(self._order) >= self.most:
            if key >= self._order[-1]:
                return False
            self._held.discard(self._order.pop()[-1])
        insort(self._order, key)
        self._held.add(series)
        return True

    def drop(self, series: SeriesName) -> None:
        """Forget a series."""
        if series in self._held:
            self._held.discard(series)
            del self._order[bisect_left(self._order, precedence(series))]

    def __iter__(self) -> Iterator[SeriesName]:
        """The series that are kept, in their order."""
        return (key[-1] for key in self._order)


@dataclass(slots=True)
class TenantCourses:
    """The courses of one tenant. Feed it everything; it forgets by itself. Order does not matter."""

    _services: dict[str, Kept] = field(default_factory=dict)
    _points: dict[SeriesName, dict[int, Point]] = field(default_factory=dict)
    _newest_ns: int = 0
    _forgotten_ns: int = 0

    def step(self, told: Iterable[tuple[SeriesName, Point]]) -> int:
        """Remember points, the earliest of each half minute; returns of how many there was no room for the series."""
        lost = 0
        for series, point in told:
            kept = self._services.setdefault(series.service, Kept())
            is_full = series not in self._points and len(self._points) >= MOST_OF_TENANT
            if is_full or not kept.takes(series):
                lost += is_full
                continue
            points = self._points.setdefault(series, {})
            place = point.time_ns // STEP_NS
            points[place] = min(point, points.get(place, point))
            self._newest_ns = max(self._newest_ns, point.time_ns)
        if self._newest_ns - self._forgotten_ns >= STEP_NS:
            self._forget()
        return lost

    def _forget(self) -> None:
        """Drop what is too old, and what made room for others."""
        self._forgotten_ns = self._newest_ns
        oldest = (self._newest_ns - KEEP_NS) // STEP_NS
        held = {series for kept in self._services.values() for series in kept}
        for series, points in list(self._points.items()):
            for place in [place for place in points if place < oldest]:
                del points[place]
            if not points:
                self._services[series.service].drop(series)
            if not points or series not in held:
                del self._points[series]

    def frozen(self) -> TenantCourses:
        """Return the courses as they are now, to be looked at only."""
        points = {series: dict(of_series) for series, of_series in self._points.items()}
        return TenantCourses(dict(self._services), points, self._newest_ns, self._forgotten_ns)

    def services(self) -> list[str]:
        """Return the services that points were told of."""
        return list(self._services)

    def of(self, service: str, arrived_by_ns: int) -> Iterator[Course]:
        """Yield the courses of a service, in an order of their own, of points whose records arrived until then."""
        for series in self._services.get(service, ()):
            points = sorted(p for p in self._points.get(series, {}).values() if p.arrival_ns <= arrived_by_ns)
            if points:
                yield Course(series, points)
