"""What correlation knows of the tenants of one partition number: their pictures, open incidents and times.

::

    deviations, points ─▶ TenantPicture, of each tenant        clocks ─▶ Docket, of each tenant ─▶ rankings that are due
    incident events ────▶ Docket                                 the oldest record still needed ─▶ floors
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from schemas.deviations import ServiceDeviations
from schemas.incidents import IncidentEvent, IncidentState
from schemas.topics import DEVIATIONS, HYPOTHESES, METRICS, POINTS, sources
from streams.hypotheses import TenantPicture
from streams.hypotheses.rhythm import is_in_rhythm
from streams.points.readings import PointRecord
from streams.progress import Progress, ProgressClock
from streams.windows import SECOND_NS, WindowConfig
from topologies import incidents
from topologies.incidents import patiently
from topologies.progressing import Broadcast
from topologies.wiring import Wiring, count_losses

STAGE = "correlation"

PICTURE_NS = 1800 * SECOND_NS
"""How far back a ranking may look, and so how long records are needed."""

CLOSED_STATES = (IncidentState.RESOLVED, IncidentState.CLOSED)


def correlation_source(partition: int) -> str:
    """Name one source of topic ``incidents.hypotheses`` as its progress records do."""
    return f"{STAGE}/{partition}"


@dataclass(slots=True)
class OpenCase:
    """An incident that is ranked while it is open. ``offset`` is that of its newest event."""

    offset: int
    event: IncidentEvent
    fresh: bool = True
    """The event has not been ranked yet."""

    def is_due(self, pane_ns: int, windows: WindowConfig) -> bool:
        """Tell whether the pane calls for a new ranking; if so the event is not fresh any more."""
        is_due = self.fresh or is_in_rhythm(self.event, pane_ns + windows.pane_ns, windows.pane_ns)
        self.fresh = self.fresh and not is_due
        return is_due


class Docket:
    """The open incidents of one tenant, walked pane by pane; so how fast the records come changes nothing."""

    def __init__(self, windows: WindowConfig) -> None:
        self._windows = windows
        self._cases: dict[str, OpenCase] = {}
        self._waiting: list[tuple[int, IncidentEvent]] = []
        self._next_pane_ns: int | None = None

    def file(self, offset: int, event: IncidentEvent) -> None:
        """Let an event wait until its pane is due."""
        self._waiting.append((offset, event))

    def due(self, clock_ns: int) -> Iterator[tuple[IncidentEvent, int]]:
        """Yield (incident as it was, pane start) for each ranking that the clock calls for, in order."""
        while (pane_ns := self._next()) is not None and self._windows.published_ns(pane_ns) <= clock_ns:
            self._apply(pane_ns)
            for case in list(self._cases.values()):
                if case.is_due(pane_ns, self._windows):
                    yield case.event, pane_ns
                if case.event.state in CLOSED_STATES:
                    del self._cases[case.event.incident_id]
            self._next_pane_ns = pane_ns + self._windows.pane_ns

    def _next(self) -> int | None:
        if self._cases:
            return self._next_pane_ns
        return min((self._pane_of(event) for _, event in self._waiting), default=None)

    def _apply(self, pane_ns: int) -> None:
        due = [pair for pair in self._waiting if self._pane_of(pair[1]) <= pane_ns]
        self._waiting = [pair for pair in self._waiting if self._pane_of(pair[1]) > pane_ns]
        for offset, event in sorted(due, key=lambda pair: pair[1].sequence):
            self._cases[event.incident_id] = OpenCase(offset, event)

    def _pane_of(self, event: IncidentEvent) -> int:
        return event.at_ns - self._windows.pane_ns

    def needed(self) -> int | None:
        """Return the smallest offset of an event that waits or whose incident is open."""
        open_ones = [case.offset for case in self._cases.values()]
        return min([offset for offset, _ in self._waiting] + open_ones, default=None)


class Desk:
    """All that correlation knows of the tenants of one partition number, in one generation."""

    def __init__(self, wiring: Wiring, number: int) -> None:
        self.windows = wiring.windows
        self.deviations_clock = ProgressClock(incidents.expected_sources(wiring.settings.partitions))
        self.events_clock = ProgressClock([f"{DEVIATIONS.name}/{number}"])
        self.points_clock = ProgressClock(sources(METRICS, wiring.settings.partitions))
        self.broadcast = Broadcast(HYPOTHESES, [number])
        self.source = correlation_source(number)
        self.pictures: dict[str, TenantPicture] = {}
        self._dockets: dict[str, Docket] = {}
        self._seen: deque[tuple[int, str, int]] = deque()
        self._points_seen: deque[tuple[int, str, int]] = deque()

    def clock_ns(self, tenant: str) -> int:
        """Return the time up to which the tenant's deviations and its incidents' events are here, and its metrics."""
        here_ns = min(self.deviations_clock.at(tenant), self.events_clock.at(tenant))
        return patiently(here_ns, self.points_clock.at(tenant))

    @property
    def clocks(self) -> tuple[ProgressClock, ...]:
        """All that tell it the time."""
        return self.deviations_clock, self.events_clock, self.points_clock

    def see(self, offset: int, deviations: ServiceDeviations) -> None:
        """Add to the tenant's picture."""
        tenant = deviations.tenant
        if deviations.driven:
            self.deviations_clock.mark_driven(tenant)
            self.events_clock.mark_driven(tenant)
            self.points_clock.mark_driven(tenant)
        picture = self._picture(tenant)
        picture.step(deviations)
        count_losses(picture.drain_losses())
        self._seen.append((offset, tenant, deviations.pane_start_ns))

    def see_points(self, offset: int, record: PointRecord) -> None:
        """Add points of metrics to the tenant's picture."""
        if record.driven:
            self.points_clock.mark_driven(record.tenant)
        picture = self._picture(record.tenant)
        picture.step_points(record.told)
        count_losses(picture.drain_losses())
        newest_ns = max((point.arrival_ns for _, point in record.told), default=0)
        self._points_seen.append((offset, record.tenant, newest_ns))

    def _picture(self, tenant: str) -> TenantPicture:
        if tenant not in self.pictures:
            self.pictures[tenant] = TenantPicture(tenant)
        return self.pictures[tenant]

    def file(self, offset: int, event: IncidentEvent) -> None:
        """Take an event of an incident."""
        self._dockets.setdefault(event.tenant, Docket(self.windows)).file(offset, event)

    def due(self) -> list[tuple[IncidentEvent, int]]:
        """Return (incident, pane start) for each ranking to be made now."""
        return [pair for tenant, docket in self._dockets.items() for pair in docket.due(self.clock_ns(tenant))]

    def needed_deviations(self) -> int | None:
        """Return the smallest offset of deviations that a picture still needs."""
        while self._seen and self._seen[0][2] < self.deviations_clock.at(self._seen[0][1]) - PICTURE_NS:
            self._seen.popleft()
        return self._seen[0][0] if self._seen else None

    def needed_points(self) -> int | None:
        """Return the smallest offset of points that a picture still needs."""
        seen = self._points_seen
        while seen and seen[0][2] < self.points_clock.at(seen[0][1]) - PICTURE_NS:
            seen.popleft()
        return seen[0][0] if seen else None

    def needed_events(self) -> int | None:
        """Return the smallest offset of an event that is still needed."""
        floors = [docket.needed() for docket in self._dockets.values()]
        return min((floor for floor in floors if floor is not None), default=None)

    def progress(self) -> Progress:
        """Return how far rankings have come: as far as the clocks."""
        one, other = self.deviations_clock.progress(self.source), self.events_clock.progress(self.source)
        tenants = one.driven.keys() | other.driven.keys()
        here = {tenant: min(one.driven.get(tenant, 0), other.driven.get(tenant, 0)) for tenant in tenants}
        driven = {tenant: patiently(at_ns, self.points_clock.at(tenant)) for tenant, at_ns in here.items()}
        wall_ns = patiently(min(one.wall_ns, other.wall_ns), self.points_clock.wall_ns)
        return Progress(self.source, wall_ns, driven)


def clock_of(desk: Desk, topic: str) -> ProgressClock:
    """Return the clock that a topic's progress moves."""
    clocks = {DEVIATIONS.name: desk.deviations_clock, POINTS.name: desk.points_clock}
    return clocks.get(topic, desk.events_clock)
