"""What was seen of a tenant lately: the deviations of the last half hour, pane by pane, and its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from schemas.deviations import ServiceDeviations
from schemas.health import Exemplars
from schemas.losses import LossReason
from streams.points.courses import Course, Point, SeriesName, TenantCourses
from streams.windows import Loss, LossLedger

Pane = dict[str, ServiceDeviations]


@dataclass(frozen=True, slots=True)
class PictureConfig:
    """How much is remembered."""

    keep_s: float = 1800.0
    max_services: int = 2000
    """Services remembered in one pane; more are counted as lost."""


@dataclass(slots=True)
class TenantPicture:
    """Deviations by pane and service. Feed it everything; it forgets by itself. Order does not matter."""

    tenant: str
    config: PictureConfig = field(default_factory=PictureConfig)
    _panes: dict[int, Pane] = field(default_factory=dict)
    _newest_ns: int = -1
    _courses: TenantCourses = field(default_factory=TenantCourses)
    _losses: LossLedger = field(default_factory=LossLedger, compare=False)

    def step(self, deviation: ServiceDeviations) -> None:
        """Remember one record; of several about one service in one pane their series are merged, newest last."""
        start_ns = deviation.pane_start_ns
        if start_ns <= self._newest_ns - int(self.config.keep_s * 1e9):
            return
        pane = self._panes.setdefault(start_ns, {})
        known = pane.get(deviation.service)
        if known is None and len(pane) >= self.config.max_services:
            self._losses.add(self.tenant, LossReason.NODE_OVERFLOW)
            return
        pane[deviation.service] = deviation if known is None else merged(known, deviation)
        if start_ns > self._newest_ns:
            self._newest_ns = start_ns
            self._forget()

    def step_points(self, told: Iterable[tuple[SeriesName, Point]]) -> None:
        """Remember points of metrics."""
        self._losses.add(self.tenant, LossReason.METRIC_OVERFLOW, self._courses.step(told))

    def drain_losses(self) -> list[Loss]:
        """Return what there was no room for since the last drain."""
        return self._losses.drain()

    def courses(self, service: str, arrived_by_ns: int) -> Iterator[Course]:
        """Yield what the metrics of a service did, as far as their records had arrived."""
        return self._courses.of(service, arrived_by_ns)

    def _forget(self) -> None:
        oldest_ns = self._newest_ns - int(self.config.keep_s * 1e9)
        for start_ns in [start for start in self._panes if start <= oldest_ns]:
            del self._panes[start_ns]

    def frozen(self) -> TenantPicture:
        """Return the picture as it is now, for a ranking that may be made later."""
        panes = {start_ns: dict(pane) for start_ns, pane in self._panes.items()}
        return TenantPicture(self.tenant, self.config, panes, self._newest_ns, self._courses.frozen())

    def between(self, start_ns: int, end_ns: int) -> Iterator[tuple[int, Pane]]:
        """Yield (start, pane) of the panes that begin in [start_ns, end_ns), in order."""
        for pane_ns in sorted(self._panes):
            if start_ns <= pane_ns < end_ns:
                yield pane_ns, self._panes[pane_ns]


_LISTS = ("edges_in", "passages", "signatures", "instances", "versions")
"""What only one of the records about a service tells."""


def merged(known: ServiceDeviations, other: ServiceDeviations) -> ServiceDeviations:
    """Return one record with the series of both; of the same series the one of the higher revision."""
    older, newer = sorted((known, other), key=lambda d: (d.revision, len(d.edges_in), len(d.series)))
    series = {(s.kind, s.name, s.operation, s.edge_client, s.instance): s for s in [*older.series, *newer.series]}
    told = {name: getattr(newer, name) or getattr(older, name) for name in _LISTS}
    exemplars = newer.exemplars if newer.exemplars != Exemplars() else older.exemplars
    return newer.model_copy(update={"series": list(series.values()), "exemplars": exemplars} | told)
