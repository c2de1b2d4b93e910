"""What of a pane is a cause candidate, and what only follows from something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from schemas.deviations import INSTANCE_KINDS, SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import NodeKind
from streams.baselines.measures import FAILING_SEVERITIES
from streams.incidents.config import IncidentConfig
from streams.incidents.graph import LiveGraph
from streams.incidents.operations import has_stopped, is_uncalled, is_wait, stops_by_itself, waits_by_itself
from streams.slo import LATENCY

WORKING = 0.5
"""The tenant works when its services get this share of their normal traffic on average."""
_FRESH_SCORE = 3.0
_UNLIKE = 2.0
"""An operation is told in place of its service when it fails so many times as often."""
_FAILURES = (
    SeriesKind.ERROR_RATE,
    SeriesKind.EDGE_ERROR_RATE,
    SeriesKind.BURN_RATE,
    SeriesKind.INSTANCE_ERRORS,
)


@dataclass(slots=True)
class Alarm:
    """The deviating series of one service in one pane, split by what they mean."""

    deviations: ServiceDeviations
    own: list[SeriesScore] = field(default_factory=list)
    symptoms: list[SeriesScore] = field(default_factory=list)
    not_before_ns: int = 0
    """When the service's last incident ended: what is wrong now began later."""
    reaches_caller: bool = False
    """Its error logs are followed by error logs of a service that calls it: requests fail all the way through."""

    @property
    def service(self) -> str:
        """The service that deviates."""
        return self.deviations.service

    def add(self, series: SeriesScore, *, own: bool) -> None:
        """Take a series as a fault of the service itself, or as what follows from others."""
        (self.own if own else self.symptoms).append(series)

    @property
    def peak(self) -> SeriesScore:
        """The strongest series: own before symptom, then by score; of operations what the service does not say."""
        pool = self.own or self.symptoms
        told = max((s.value for s in pool if s.kind is SeriesKind.ERROR_RATE and not s.operation), default=0.0)
        pool = [s for s in pool if not (_fails_at_operation(s) and s.value < _UNLIKE * told)]
        return max(pool, key=lambda s: (min(s.evidence, 1.0), abs(s.score), s.kind.value, s.edge_client or ""))

    @property
    def since_ns(self) -> int:
        """When the first of them began."""
        pool = self.own or self.symptoms
        first_ns = min(s.since_ns if s.since_ns is not None else self.deviations.pane_start_ns for s in pool)
        return max(first_ns, self.not_before_ns)

    def is_fresh(self, group_since_ns: int, config: IncidentConfig) -> bool:
        """Tell whether it is wrong in this very pane, not only in memory: only that opens an incident.

        Error logs without a slow or failed request must have lasted a while, here or elsewhere in the group, or have
        reached a caller: services log errors for many reasons.
        """
        now = self._now()
        if now and not self.symptoms and not self.reaches_caller and all(s.kind is SeriesKind.LOG_ERRORS for s in now):
            lasted_ns = self.deviations.pane_start_ns - group_since_ns
            return lasted_ns >= config.logs_confirm_s * 1e9
        return bool(now)

    @property
    def logs_since_ns(self) -> int | None:
        """When error logs that are written in this very pane began; None without any."""
        return next((s.since_ns for s in self.logs), None)

    @property
    def logs(self) -> list[SeriesScore]:
        """The series of error logs, when they are written in this very pane."""
        return [s for s in self._now() if s.kind is SeriesKind.LOG_ERRORS]

    def _now(self) -> list[SeriesScore]:
        return [s for s in self.own if is_wrong_now(s)]

    def news_beside(self, kinds: set[SeriesKind]) -> list[SeriesScore]:
        """Return what is wrong in this very pane and of another kind than what is known; the strongest of each kind.

        A budget that burns says nothing that the failed or slow requests did not say; nor does the service's error
        rate while one instance has the failures, and its siblings have not.
        """
        said = {SeriesKind.BURN_RATE, *kinds}
        if SeriesKind.INSTANCE_ERRORS in kinds and fails_at_an_instance(self.deviations):
            said.add(SeriesKind.ERROR_RATE)
        new = [s for s in self._now() if s.deviating and s.kind not in said]
        by_kind = {s.kind: s for s in sorted(new, key=lambda s: (s.score, s.edge_client or ""))}
        return sorted(by_kind.values(), key=lambda s: (s.since_ns or 0, s.kind.value))

    @property
    def has_stopped(self) -> bool:
        """Tell whether its requests have stopped."""
        return any(s.kind is SeriesKind.REQUEST_RATE and not s.operation for s in self.own)

    @property
    def partners(self) -> set[str]:
        """Clients of deviating incoming edges: an edge has two ends."""
        kinds = (SeriesKind.GAP, SeriesKind.EDGE_LATENCY, SeriesKind.EDGE_ERROR_RATE)
        return {s.edge_client for s in self.own if s.kind in kinds and s.edge_client}


def fails_at_an_instance(one: ServiceDeviations) -> bool:
    """Tell whether the failures of a service are those of an instance: its siblings have none, or it were not told."""
    return any(s.deviating and s.kind is SeriesKind.INSTANCE_ERRORS for s in one.series)


def _fails_at_operation(series: SeriesScore) -> bool:
    return series.kind is SeriesKind.ERROR_RATE and series.operation is not None


def is_wrong_now(series: SeriesScore) -> bool:
    """Tell whether a series is off in this very pane.

    A request or two cannot be three scales above a habit of failing. They are off when they are nearer to
    everything failing than to normal. Of an instance there is evidence of many requests; the latest must be bad, too.
    """
    if series.kind in INSTANCE_KINDS:
        return series.score > 0
    if is_uncalled(series):
        return has_stopped(series)
    if abs(series.score) >= _FRESH_SCORE:
        return True
    return series.unit == "ratio" and series.value >= (1.0 + series.median) / 2


def alarms_of(
    pane: Mapping[str, ServiceDeviations], graph: LiveGraph, config: IncidentConfig, heard_since_ns: int = 0,
    is_stop_of_all: bool = False,
) -> dict[str, Alarm]:  # fmt: skip
    """Return the alarms of one pane by service. Traffic has not stopped before `heard_since_ns`: nothing was heard.

    `is_stop_of_all`: if everything is silent, that means that traffic has stopped.
    """
    failing = {service for service, one in pane.items() if any(s.deviating and _is_failure(s) for s in one.series)}
    late = {service for service, one in pane.items() if any(s.deviating and _is_late(s) for s in one.series)}
    uneven = {service for service, one in pane.items() if any(s.deviating and _is_uneven(s) for s in one.series)}
    stoppable = stoppable_in(pane, set(graph.entries), is_stop_of_all=is_stop_of_all)
    alarms = {}
    for service, one in sorted(pane.items()):
        alarm = Alarm(one)
        for series in one.series:
            if series.deviating or _is_news(series, one, config):
                is_slow = series.kind is SeriesKind.INSTANCE_SLOW
                excuses = late if _is_late(series) else uneven if is_slow else failing
                if is_wait(series):
                    alarm.add(series, own=waits_by_itself(series, one, pane, graph))
                elif is_uncalled(series):
                    stops = service in stoppable and stops_by_itself(series, one, pane, graph, heard_since_ns)
                    alarm.add(series, own=stops)
                else:
                    _sort(series, alarm, excuses, graph, stoppable, config, heard_since_ns)
        if alarm.own or alarm.symptoms:
            alarms[service] = alarm
    for service, alarm in alarms.items():
        alarm.reaches_caller = any(_follows(alarms[one], alarm) for one in graph.callers(service) if one in alarms)
    return alarms


def _is_late(series: SeriesScore) -> bool:
    """Tell whether it is the budget of slow requests that burns."""
    return series.kind is SeriesKind.BURN_RATE and series.name == LATENCY


def _is_uneven(series: SeriesScore) -> bool:
    """Tell whether it is about one instance. Whose callee has a bad one may be waiting for that."""
    return series.kind in INSTANCE_KINDS


def _is_failure(series: SeriesScore) -> bool:
    """Tell whether it is about failed requests. Callees that are slow excuse nobody's failures."""
    return series.kind in _FAILURES and not _is_late(series)


def _is_news(series: SeriesScore, one: ServiceDeviations, config: IncidentConfig) -> bool:
    """Tell whether half-believed error logs are lines that were never seen before, which are an alarm themselves."""
    if series.kind is not SeriesKind.LOG_ERRORS or series.evidence < config.news_evidence:
        return False
    return any(
        new.change == "new" and new.series.deviating and new.severity in FAILING_SEVERITIES for new in one.signatures
    )


def _follows(caller: Alarm, callee: Alarm) -> bool:
    """Tell whether both write error logs in this pane, the caller not since earlier."""
    upper_ns, lower_ns = caller.logs_since_ns, callee.logs_since_ns
    return upper_ns is not None and lower_ns is not None and upper_ns >= lower_ns


def _sort(
    series: SeriesScore, alarm: Alarm, excuses: set[str], graph: LiveGraph, stoppable: set[str], config: IncidentConfig,
    heard_since_ns: int,
) -> None:  # fmt: skip
    """Add a series to what the service itself is to blame for, or to what follows from `excuses`, services like it."""
    one = alarm.deviations
    if series.kind is SeriesKind.REQUEST_RATE:
        if one.service in stoppable and is_stop(series, one.pane_start_ns, config, heard_since_ns):
            alarm.own.append(series)
        return
    alarm.add(series, own=series.score > 0 and _is_own(series, one, excuses, graph))


def _is_own(series: SeriesScore, one: ServiceDeviations, excuses: set[str], graph: LiveGraph) -> bool:
    virtual = one.node_kind is not NodeKind.SERVICE
    if series.kind in (SeriesKind.SELF_TIME, SeriesKind.GAP, SeriesKind.LOG_ERRORS):
        return True
    if series.kind in (SeriesKind.ERROR_RATE, SeriesKind.BURN_RATE, *INSTANCE_KINDS):
        return not any(callee in excuses for callee in graph.callees(one.service))
    if series.kind is SeriesKind.EDGE_ERROR_RATE:
        return virtual or one.errors == 0
    return virtual and series.kind is SeriesKind.EDGE_LATENCY


def is_stop(series: SeriesScore, pane_start_ns: int, config: IncidentConfig, heard_since_ns: int = 0) -> bool:
    """Tell whether a rate that deviates means that traffic has stopped: none now, and enough of it missing."""
    if series.value > 0 or series.since_ns is None or series.median < config.stop_rate_per_s:
        return False
    missing_s = (pane_start_ns - max(series.since_ns, heard_since_ns)) / 1e9 + config.pane_s
    return missing_s >= config.stop_s and series.median * missing_s >= config.stop_missing_requests


def is_silent(pane: Mapping[str, ServiceDeviations]) -> bool:
    """Tell whether the tenant has no traffic at all in this pane."""
    return not any(one.requests for one in pane.values())


def stoppable_in(pane: Mapping[str, ServiceDeviations], entries: set[str], *, is_stop_of_all: bool) -> set[str]:
    """Return the services whose silence in this pane would mean something.

    While the others work, that is any of them. When everything is silent, and that is a stop of all traffic
    (`streams.incidents.silence`), it is the door: where the users come in. Silence means nothing in a half-filled pane.
    """
    if is_silent(pane):
        return entries & set(pane) if is_stop_of_all else set()
    share = working_share(pane)
    return set(pane) if share is not None and share >= WORKING else set()


def working_share(pane: Mapping[str, ServiceDeviations]) -> float | None:
    """Return which share of their usual traffic the services have on average; None: nothing usual is known."""
    rates = [s for one in pane.values() for s in one.series if s.kind is SeriesKind.REQUEST_RATE and not s.operation]
    live = [min(s.value / s.median, 1.0) for s in rates if s.median > 0]
    return sum(live) / len(live) if live else None
