"""Nothing at all is heard of a tenant: its traffic has stopped, or comes and goes, or what was recorded has a hole.

::

    ── traffic ──┐ silence ┌── traffic, long enough ──┐ silence: live, or while the services rest ─▶ a stop
                 └─────────┘  until of late           └ silence while they work on ────────────────▶ a hole

Live, silence is a stop: traces should come, and somebody wants to know that they do not. In a recording minutes may be
missing, of all services at once, and traces do not tell that from a stop. What tells is whether the services work: who
gets no requests rests, and whose traces are lost uses as much CPU as before (ADR 61).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median
from typing import Any

from schemas.deviations import ServiceDeviations
from streams.incidents.triggers import WORKING, is_silent, working_share
from streams.points.courses import Course, Point, SeriesName, TenantCourses
from streams.windows import SECOND_NS

REST_SHARE = 0.5
"""A service rests when it uses less than this share of the CPU that it used before."""
LEAST_SERVICES = 3
"""Of fewer services chance may let most use so little."""
BEFORE_NS = 600 * SECOND_NS
LEAST_BEFORE = 3
"""So many readings of the CPU within so long before the silence say how much a service uses."""

STOP_NS = 40 * SECOND_NS
"""A shorter silence does not end the traffic before it."""
SETTLED_NS = 240 * SECOND_NS
"""Traffic that was there for less is not missed: it may be a test of a minute or two."""
HABIT_NS = 1200 * SECOND_NS
"""Nor is traffic that was there for less than the silence before it, unless it was there for so long: it comes and
goes."""

ABRUPT_PANES, MINUTE_PANES = 60, 6
"""In one minute of the last ten the tenant worked as usual, or what ended was ending for long."""


@dataclass(slots=True)
class Silence:
    """What is known of one tenant's silences. Instants are starts of panes (ns), 0 = none or longer ago than known."""

    since_ns: int = 0
    """When the present silence began; 0 while something is heard."""
    heard_since_ns: int = 0
    """The end of the last hole: nothing that is missing now was missing before."""
    traffic_since_ns: int = -1
    """When the traffic began that goes on now, or went on until the present silence; -1: none was heard yet."""
    before_ns: int = 0
    """How long the silence before that traffic was."""
    is_stop: bool = False
    """Whether the present silence means that traffic has stopped."""
    is_abrupt: bool = True
    """Whether what was usual lasted until shortly before the present silence."""
    shares: list[float] = field(default_factory=list)
    """What share of its usual traffic the tenant had in each of the last panes; all while that is not known."""
    courses: TenantCourses = field(default_factory=TenantCourses, compare=False)

    def see_points(self, told: Iterable[tuple[SeriesName, Point]]) -> None:
        """Take points of metrics; kept is what tells of CPU."""
        self.courses.step((series, point) for series, point in told if "cpu" in series.metric.lower())

    def step(self, pane_ns: int, pane: Mapping[str, ServiceDeviations], arrived_by_ns: int) -> None:
        """Take a pane; panes come in order. Of metrics counts what had arrived by that instant."""
        if not is_silent(pane):
            self._hear(pane_ns)
        elif not self.since_ns:
            self.since_ns, self.is_abrupt = pane_ns, self._worked_lately()
        share = working_share(pane)
        known = float(not self.since_ns) if share is None else round(share, 3)
        self.shares = [*self.shares, known][-ABRUPT_PANES:]
        if not self.since_ns:
            return
        is_driven = any(one.driven for one in pane.values())
        self.is_stop = self.is_abrupt and self._is_missed() and (not is_driven or self.rests(arrived_by_ns))

    def _hear(self, pane_ns: int) -> None:
        if self.traffic_since_ns < 0:
            self.traffic_since_ns = pane_ns
        if self.since_ns and not self.is_stop:
            self.heard_since_ns = pane_ns
        if self.since_ns and pane_ns - self.since_ns >= STOP_NS:
            self.traffic_since_ns, self.before_ns = pane_ns, pane_ns - self.since_ns
        self.since_ns, self.is_stop = 0, False

    def _worked_lately(self) -> bool:
        """Tell whether the tenant worked in a minute of the last ten; it did if nothing is known."""
        minutes = zip(*(self.shares[first:] for first in range(MINUTE_PANES)), strict=False)
        return len(self.shares) < MINUTE_PANES or max(sum(one) for one in minutes) >= WORKING * MINUTE_PANES

    def _is_missed(self) -> bool:
        """Tell whether the traffic that ended had been there for long enough to be missed."""
        least_ns = max(SETTLED_NS, min(self.before_ns, HABIT_NS))
        return self.since_ns - self.traffic_since_ns >= least_ns

    def rests(self, arrived_by_ns: int) -> bool:
        """Tell whether most services have used much less CPU since the silence began."""
        shares = [self._share(service, arrived_by_ns) for service in self.courses.services()]
        known = [share for share in shares if share is not None]
        return len(known) >= LEAST_SERVICES and median(known) < REST_SHARE

    def _share(self, service: str, arrived_by_ns: int) -> float | None:
        """Return how much of its usual CPU a service uses in the silence; the median over its series, None: unknown."""
        shares = []
        for course in self.courses.of(service, arrived_by_ns):
            read = list(_readings(course))
            before = [value for _, end_ns, value in read if self.since_ns - BEFORE_NS < end_ns <= self.since_ns]
            since = [value for begin_ns, _, value in read if begin_ns >= self.since_ns]
            if len(before) >= LEAST_BEFORE and since and median(before) > 0:
                shares.append(median(since) / median(before))
        return median(shares) if shares else None

    def packed(self) -> list[Any]:
        """As kept in the state, without points of metrics: those are read again."""
        return [
            self.since_ns,
            self.heard_since_ns,
            self.traffic_since_ns,
            self.before_ns,
            self.is_stop,
            self.is_abrupt,
            self.shares,
        ]

    @staticmethod
    def unpacked(body: list[Any]) -> Silence:
        """Read `packed` back."""
        return Silence(*body)


def _readings(course: Course) -> Iterator[tuple[int, int, float]]:
    """Yield (begin, end, value) of what each point tells: of a counter its increase a second, if it did not restart."""
    for old, new in pairwise(course.points):
        if not course.series.is_counter:
            yield old.time_ns, new.time_ns, new.value
        elif new.time_ns > old.time_ns and new.value >= old.value:
            yield old.time_ns, new.time_ns, (new.value - old.value) / ((new.time_ns - old.time_ns) / SECOND_NS)
