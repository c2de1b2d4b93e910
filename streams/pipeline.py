"""The operators chained in one process, without Kafka: records in, incidents and rankings out.

::

    traces ─▶ PaneFold ──────────────────────┐
       └────▶ StubFold ─▶ EdgeFold ──────────┼─▶ HealthFold ─▶ JudgeFold, BurnRateFold ─▶ IncidentFold ─▶ rank
    logs ───▶ PaneFold ──────────────────────┘                                              ▲
    metrics ▶ PointFold ────────────────────────────────────────────────────────────────────┘

One partition of everything, one tenant on a driven clock (arrival times are given). Used to evaluate recordings; the
same operators in the same order as the topologies, so the outcome is theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, TypeVar

from schemas.deviations import ServiceDeviations
from schemas.errors import BadPayload
from schemas.health import ServiceHealth
from schemas.incidents import Deploy, HypothesisSet, IncidentEvent, IncidentState
from schemas.settings import Settings
from schemas.snapshots import RankingSnapshot
from schemas.topics import LOGS, METRICS, ROLLUPS, STUBS, TRACES
from streams.batch import Messages
from streams.contents import SEVERITIES
from streams.edges import EdgeFold
from streams.health import HealthFold
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.hypotheses.rhythm import is_in_rhythm, version_of
from streams.incidents import IncidentConfig, IncidentFold
from streams.judging import JudgeFold, JudgeMemory
from streams.otlp import Signal, decode_logs, decode_metrics, open_payload
from streams.otlp.columns import LogColumns, MetricCounts, SpanColumns
from streams.otlp.decoding import Decoder, OneByOne
from streams.otlp.walker import SpanDecoder
from streams.panes import PaneFold
from streams.partials import ServicePartial
from streams.points.readings import PointFold, read_told
from streams.progress import SourceClock
from streams.slo import Budgets, BurnRateFold, SloConfig
from streams.stub_blocks import decode_stubs
from streams.stubs import StubFold
from streams.versions import changes_seen
from streams.windows import WindowConfig

Columns = TypeVar("Columns", SpanColumns, LogColumns, MetricCounts)

_TRACES, _LOGS, _METRICS, _STUBS, _ROLLUPS = (f"{topic.name}/0" for topic in (TRACES, LOGS, METRICS, STUBS, ROLLUPS))
_OVER = (IncidentState.RESOLVED, IncidentState.CLOSED)

SpanWitness = Callable[[SpanColumns, Messages], None]


@dataclass(frozen=True, slots=True)
class DueRanking:
    """A ranking that is due, with all it looks at: `make` gives the same now or later, if it is asked for at all."""

    incident: IncidentEvent
    as_of_ns: int
    version: int
    seen: TenantPicture
    deploys: list[Deploy]

    def make(self) -> HypothesisSet:
        """Return the ranking."""
        return rank(self.snapshot())

    def snapshot(self) -> RankingSnapshot:
        """Return what it is made from."""
        return snapshot_of(self.seen, self.incident, self.deploys, self.as_of_ns, self.version)


@dataclass(slots=True)
class Decided:
    """What one pane brought, with the arrival clock that decided it."""

    at_ns: int
    health: list[ServiceHealth] = field(default_factory=list)
    deviations: list[ServiceDeviations] = field(default_factory=list)
    events: list[IncidentEvent] = field(default_factory=list)
    rankings: list[DueRanking] = field(default_factory=list)


class _Record(NamedTuple):
    """A record that waits, and where it is in its source."""

    raw: bytes
    arrival_ns: int
    offset: int


class LocalPipeline:
    """Feed records in the order of their arrival; what is decided comes out as time passes.

    Records wait until a pane is decided, and are decoded together then: nothing looks at them earlier. A `witness` is
    shown the spans of some messages at a time, before anything is made of them.
    """

    def __init__(
        self,
        settings: Settings,
        tenant: str = "local",
        deploys: Iterable[Deploy] = (),
        witness: SpanWitness | None = None,
    ) -> None:
        self.tenant = tenant
        self._witness = witness
        self.unreadable = 0
        """Records that could not be decoded so far."""
        self._windows = WindowConfig.from_settings(settings)
        self._panes = {_TRACES: PaneFold(_TRACES, self._windows), _LOGS: PaneFold(_LOGS, self._windows)}
        self._clocks = {_TRACES: SourceClock(_TRACES), _LOGS: SourceClock(_LOGS)}
        self._stubs = StubFold(_TRACES, 1, self._windows)
        self._edges = EdgeFold(_STUBS, [_TRACES], self._windows)
        self._health = HealthFold(_ROLLUPS, [_TRACES, _LOGS, _STUBS], self._windows, is_for_judging=True)
        self._judges = _Judges(settings, self._windows, tenant, list(deploys))
        signed_from = SEVERITIES.index(settings.signature_severity)
        self._span_decoder = SpanDecoder()
        self._log_decoder = OneByOne(partial(decode_logs, signed_from=signed_from))
        self._metric_decoder = OneByOne(decode_metrics)
        self._points = PointFold(self._windows)
        self._waiting: dict[str, list[_Record]] = {_TRACES: [], _LOGS: [], _METRICS: []}
        self._offsets = dict.fromkeys((_TRACES, _LOGS, _METRICS, _STUBS, _ROLLUPS), 0)
        self._next_due_ns = 0

    def feed(self, topic: str, raw: bytes, arrival_ns: int) -> Iterator[Decided]:
        """Take one raw record of `topic`; yield what its arrival time lets be decided before it."""
        yield from self.advance(arrival_ns)
        source = f"{topic}/0"
        if source in self._waiting:
            self._waiting[source].append(_Record(raw, arrival_ns, self._offset(source)))

    def advance(self, arrival_ns: int) -> Iterator[Decided]:
        """Let time pass to `arrival_ns` without a record (a tick)."""
        if not self._next_due_ns:
            self._next_due_ns = self._windows.pane_of(arrival_ns) + self._delay_ns()
        while self._next_due_ns <= arrival_ns:
            yield from self._decide(self._next_due_ns)
            self._next_due_ns += self._windows.pane_ns

    def _delay_ns(self) -> int:
        """Return how long after the start of a pane it is decided."""
        return self._windows.pane_ns + self._windows.settle_ns + self._windows.pair_wait_ns

    def _take_waiting(self) -> None:
        for spans, messages in self._decoded(_TRACES, Signal.TRACES, self._span_decoder):
            if self._witness is not None:
                self._witness(spans, messages)
            self._panes[_TRACES].take_spans(self.tenant, spans, messages, True)
            self._stubs.take(self.tenant, spans, messages, True)
        for logs, messages in self._decoded(_LOGS, Signal.LOGS, self._log_decoder):
            self._panes[_LOGS].take_logs(self.tenant, logs, messages, True)
        for metrics, messages in self._decoded(_METRICS, Signal.METRICS, self._metric_decoder):
            self._points.take(self.tenant, metrics.resources, messages.arrivals_ns[0], True)
        for _, record in self._points.flush():
            self._judges.see_points(record)

    def _decoded(self, source: str, signal: Signal, decoder: Decoder[Columns]) -> Iterator[tuple[Columns, Messages]]:
        """Yield what waits of a source, some messages at a time."""
        opened = [(record, payload) for record in self._waiting[source] if (payload := self._opened(record, signal))]
        self._waiting[source] = []
        for decoded in decoder.decode([payload for _, payload in opened]):
            self.unreadable += len(decoded.refused)
            if decoded.columns is None:
                continue
            records = [opened[number][0] for number in decoded.messages]
            arrivals_ns, offsets = [one.arrival_ns for one in records], [one.offset for one in records]
            yield decoded.columns, Messages(decoded.sizes, arrivals_ns, offsets)

    def _opened(self, record: _Record, signal: Signal) -> bytes:
        """Return the record's payload, nothing of a record that is no use."""
        try:
            return open_payload(record.raw, signal)
        except BadPayload:
            self.unreadable += 1
            return b""

    def _decide(self, clock_ns: int) -> Iterator[Decided]:
        self._take_waiting()
        for clock in self._clocks.values():
            clock.observe(clock_ns, self.tenant, clock_ns)
        for source, fold in self._panes.items():
            self._roll_up([*fold.close_until(self._clocks[source]), *fold.flush()])
        for record in self._stubs.flush():
            self._edges.step(decode_stubs(record.value), self._offset(_STUBS))
        self._edges.step_progress(self._clocks[_TRACES].progress(), self._offset(_STUBS))
        self._roll_up(self._edges.flush())
        for progress in (*(clock.progress() for clock in self._clocks.values()), self._edges.progress()):
            self._health.step_progress(progress, self._offset(_ROLLUPS))
        yield from self._judges.step(self._health.publish(), clock_ns)

    def _roll_up(self, partials: Iterable[ServicePartial]) -> None:
        for each in partials:
            self._health.step_partial(each, self._offset(_ROLLUPS))

    def _offset(self, source: str) -> int:
        self._offsets[source] += 1
        return self._offsets[source]


class _Judges:
    """The second half: from pictures of services to incidents and rankings."""

    def __init__(self, settings: Settings, windows: WindowConfig, tenant: str, deploys: list[Deploy]) -> None:
        self._windows = windows
        self._deploys = deploys
        self._judge_fold = JudgeFold.from_settings(settings)
        self._budgets = BurnRateFold(SloConfig.from_settings(settings))
        self._memories: dict[str, JudgeMemory] = {}
        self._budget_memories: dict[str, Budgets] = {}
        self._incidents = IncidentFold(tenant, IncidentConfig(pane_s=settings.pane_s))
        self._picture = TenantPicture(tenant)
        self._waiting: dict[int, list[ServiceDeviations]] = {}
        self._open: dict[str, IncidentEvent] = {}

    def step(self, pictures: list[ServiceHealth], clock_ns: int) -> Iterator[Decided]:
        """Take what health has published up to this instant."""
        decided = Decided(clock_ns, health=pictures)
        for health in pictures:
            decided.deviations += self._judge(health)
        for one in decided.deviations:
            self._picture.step(one)
            self._deploys += changes_seen(one)
            if one.pane_start_ns > self._incidents.last_pane_ns:
                self._waiting.setdefault(one.pane_start_ns, []).append(one)
        for pane_ns in self._due(clock_ns):
            events = self._incidents.step_pane(pane_ns, self._waiting.pop(pane_ns, []), clock_ns)
            decided.events += events
            decided.rankings += self._rank(events, pane_ns + self._windows.pane_ns)
        yield decided

    def see_points(self, record: bytes) -> None:
        """Take a record of single metrics."""
        told = read_told(record).told
        self._picture.step_points(told)
        self._incidents.silence.see_points(told)

    def _judge(self, health: ServiceHealth) -> list[ServiceDeviations]:
        memory = self._memories.setdefault(health.service, JudgeMemory())
        unusual = self._judge_fold.advance(memory, health)
        budget = self._budget_memories.setdefault(health.service, Budgets())
        burning, _ = self._budgets.advance(budget, health)
        return [one for one in (unusual, burning) if one is not None]

    def _due(self, clock_ns: int) -> Iterator[int]:
        """Yield the panes that are complete by now, in order; empty ones too while an incident is open."""
        while (pane_ns := self._next_pane()) is not None:
            if self._windows.published_ns(pane_ns) + self._windows.pair_wait_ns > clock_ns:
                return
            yield pane_ns

    def _next_pane(self) -> int | None:
        if self._incidents.open and self._incidents.last_pane_ns >= 0:
            return self._incidents.last_pane_ns + self._windows.pane_ns
        return min(self._waiting, default=None)

    def _rank(self, events: list[IncidentEvent], as_of_ns: int) -> Iterator[DueRanking]:
        fresh = {event.incident_id for event in events}
        self._open |= {event.incident_id: event for event in events}
        for incident_id, event in list(self._open.items()):
            version = version_of(event, as_of_ns, self._windows.pane_ns)
            if incident_id in fresh or is_in_rhythm(event, as_of_ns, self._windows.pane_ns):
                yield DueRanking(event, as_of_ns, version, self._picture.frozen(), list(self._deploys))
            if event.state in _OVER:
                del self._open[incident_id]
