"""Pair the two sides of requests, and measure self time, in one partition of ``telemetry.stubs``.

::

    pane ends        + pair_wait: joined, sent         + lateness + pair_wait: joined again if changed, closed
       |------------------|------------------------------------|

Stubs are kept until their pane closes, and after that only while their trace may still go on (`reach_ns`).
A join looks at a pane and at all other spans of its traces, so its result does not depend on arrival order.
Partials carry the fold's position in the topic as their version, since time alone can change them too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from schemas.health import NodeKind
from schemas.losses import LossReason
from streams.contents import PaneContents
from streams.edge_contents import NodeKey, contents_of
from streams.families import Family
from streams.lateness import Verdict, judge
from streams.mixing import Hashes
from streams.partials import ServicePartial
from streams.progress import Progress, ProgressClock, later, reading_of
from streams.registry import Registry
from streams.stub_blocks import Coverage, StubBlock, StubColumns
from streams.windows import Loss, LossLedger, WindowConfig


@dataclass(slots=True)
class _Pane:
    """The stubs of an open pane. ``offset`` columns hold offsets of ``telemetry.stubs``."""

    parts: list[StubColumns] = field(default_factory=list)
    first_offset: int = 0
    changed: bool = True
    joined_at_ns: int | None = None
    traces: Hashes = field(default_factory=lambda: np.zeros(0, dtype=np.uint64))
    sent: dict[NodeKey, PaneContents] = field(default_factory=dict)
    """What the last partials hold: nobody changes it."""
    losses: LossLedger = field(default_factory=LossLedger)

    def add(self, spans: StubColumns) -> None:
        self.parts.append(spans)
        self.traces = self.traces[:0]
        self.changed = True

    def spans(self) -> StubColumns:
        if len(self.parts) != 1:
            self.parts = [StubColumns.joined(self.parts)]
        return self.parts[0]

    def known_traces(self) -> Hashes:
        if not len(self.traces):
            self.traces = np.unique(self.spans().trace)
        return self.traces


@dataclass(slots=True)
class _Timeline:
    """Panes that close by the same clock: one for all tenants on the wall clock, one per driven tenant."""

    tenant: str | None
    panes: dict[int, _Pane] = field(default_factory=dict)
    context: StubColumns = field(default_factory=lambda: StubColumns.joined([]))
    """Stubs of closed panes whose traces may go on."""

    def offsets(self) -> Iterable[int]:
        yield from (pane.first_offset for pane in self.panes.values())
        if len(self.context):
            yield int(self.context.offset.min())


class EdgeFold:
    """Folds one partition of ``telemetry.stubs`` (``source`` names it) into partials of edges and self time.

    ``expected_sources`` are those whose stubs come here (the partitions of ``otel.traces``). ``closed`` is what
    `closed` returned when the floor this fold starts from was committed.
    """

    def __init__(
        self, source: str, expected_sources: Iterable[str], config: WindowConfig, closed: Progress | None = None
    ) -> None:
        self.source = source
        self._config = config
        self._clock = ProgressClock(expected_sources)
        self._settled = closed
        self._closed = closed or Progress(source, 0)
        self._position = -1
        self._timelines: dict[str | None, _Timeline] = {}
        self._coverage = Coverage()
        self._registry = Registry()
        self._held = 0
        self._losses = LossLedger()

    # -- in ------------------------------------------------------------------------------------------------

    def step(self, block: StubBlock, offset: int) -> None:
        """Take a block; ``offset`` is the record's own in ``telemetry.stubs``. What came before is ignored."""
        self._position = max(self._position, offset)
        if block.driven:
            self._clock.mark_driven(block.tenant)
        spans = block.columns.take(self._coverage.take(block))
        if self._held + len(spans) > self._config.max_stubs:
            self._losses.add(block.tenant, LossReason.STUB_OVERFLOW, len(spans))
            return
        if len(spans):
            self._accept(block, spans, offset)

    def step_progress(self, progress: Progress, offset: int) -> None:
        """Take a progress record of the stubs topic."""
        self._position = max(self._position, offset)
        self._clock.step(progress)

    def _accept(self, block: StubBlock, spans: StubColumns, offset: int) -> None:
        driven = self._clock.is_driven(block.tenant)
        settled_ns = reading_of(self._settled, block.tenant, driven)
        closed_ns = reading_of(self._closed, block.tenant, driven)
        verdicts = judge(spans.end_ns, spans.arrival_ns, self._config, settled_ns, closed_ns)
        verdicts[spans.start_ns < spans.arrival_ns - self._config.past_ns] = Verdict.OUT_OF_RANGE
        kept = np.isin(verdicts, (Verdict.LIVE, Verdict.SETTLED))
        spans = self._registry.adopt(block.tenant, spans.take(kept), block.names, offset)
        if not len(spans):
            return
        timeline = self._timeline(block.tenant)
        settled = verdicts[kept] == Verdict.SETTLED
        if settled.any():
            timeline.context = StubColumns.joined([timeline.context, spans.take(settled)])
        self._held += len(spans)
        self._place(timeline, spans.take(~settled), offset)
        self._touch(timeline, spans)

    def _timeline(self, tenant: str) -> _Timeline:
        key = tenant if self._clock.is_driven(tenant) else None
        return self._timelines.setdefault(key, _Timeline(key))

    def _place(self, timeline: _Timeline, spans: StubColumns, offset: int) -> None:
        """Add stubs to their panes."""
        pane_start_ns = spans.end_ns - spans.end_ns % self._config.pane_ns
        for start_ns in np.unique(pane_start_ns).tolist():
            pane = timeline.panes.setdefault(start_ns, _Pane(first_offset=offset))
            pane.add(spans.take(pane_start_ns == start_ns))

    def _touch(self, timeline: _Timeline, spans: StubColumns) -> None:
        """Mark the panes that were joined already and whose traces go on in these stubs."""
        traces = np.unique(spans.trace)
        for pane in timeline.panes.values():
            if pane.joined_at_ns is not None and not pane.changed:
                pane.changed = bool(_is_in(traces, pane.known_traces()).any())

    # -- out -----------------------------------------------------------------------------------------------

    def flush(self) -> list[ServicePartial]:
        """Join the panes that are due, close those whose time is over; returns the partials that changed."""
        partials: list[ServicePartial] = []
        for key, timeline in list(self._timelines.items()):
            reached_ns = (self._clock.wall_ns if key is None else self._clock.at(key)) - self._config.pair_wait_ns
            for start_ns in sorted(timeline.panes):
                pane, closing = timeline.panes[start_ns], self._config.closes_ns(start_ns) <= reached_ns
                if self._is_due(start_ns, pane, reached_ns, closing):
                    partials += self._join(timeline, start_ns, pane)
                    pane.changed, pane.joined_at_ns = False, reached_ns
            self._close(timeline, reached_ns)
            if not timeline.panes and not len(timeline.context):
                del self._timelines[key]
        self._closed = self._clock.progress(self.source, self._config.pair_wait_ns)
        self._registry.shrink(self._columns())
        return partials

    def progress(self) -> Progress:
        """Return what to broadcast after the partials of the last flush: the clock less ``pair_wait``."""
        return self._closed

    def closed(self) -> Progress:
        """Return the clock at which panes were last closed: to be committed with the floor."""
        return later(self._closed, self._settled)

    def lowest_needed_offset(self) -> int | None:
        """Return the smallest offset that an open pane or a waiting stub needs; ``None`` if none does."""
        return min((offset for timeline in self._timelines.values() for offset in timeline.offsets()), default=None)

    def drain_losses(self) -> list[Loss]:
        """Return what did not make it into an edge since the last drain."""
        return [*self._losses.drain(), *self._clock.drain_losses()]

    def _is_due(self, start_ns: int, pane: _Pane, reached_ns: int, closing: bool) -> bool:
        """First at the pane's end plus ``pair_wait``, then at most once a pane length, and at the close."""
        if not pane.changed or reached_ns < start_ns + self._config.pane_ns:
            return False
        return closing or pane.joined_at_ns is None or reached_ns >= pane.joined_at_ns + self._config.pane_ns

    def _join(self, timeline: _Timeline, start_ns: int, pane: _Pane) -> list[ServicePartial]:
        family, first_offset = self._family(timeline, start_ns, pane)
        pane.losses = LossLedger()
        contents = contents_of(family, self._registry, self._config, pane.losses)
        for node in pane.sent:
            contents.setdefault(node, PaneContents())
        changed = [node for node, found in contents.items() if pane.sent.get(node) != found]
        pane.sent = contents
        return [
            ServicePartial(
                tenant=node.tenant,
                service=node.name,
                node_kind=NodeKind(node.kind),
                pane_start_ns=start_ns,
                source=self.source,
                first_offset=first_offset,
                last_offset=self._position,
                contents=contents[node],
                driven=timeline.tenant is not None,
            )
            for node in changed
        ]

    def _family(self, timeline: _Timeline, start_ns: int, pane: _Pane) -> tuple[Family, int]:
        """Return a pane's stubs with all others of their traces, and the smallest offset among them."""
        config, own, traces = self._config, pane.spans(), pane.known_traces()
        final_ns = config.closes_ns(start_ns) + config.pair_wait_ns
        others = [part.spans() for other_ns, part in timeline.panes.items() if other_ns != start_ns]
        relatives = [own]
        for spans in (*others, timeline.context):
            near = np.abs(spans.end_ns - spans.end_ns % config.pane_ns - start_ns) <= config.reach_ns
            rows = np.flatnonzero(near & (spans.arrival_ns < final_ns))
            relatives.append(spans.take(rows[_is_in(spans.trace[rows], traces)]))
        joined = StubColumns.joined(relatives)
        return Family(joined, len(own), config), int(joined.offset.min())

    def _close(self, timeline: _Timeline, reached_ns: int) -> None:
        """Drop the panes whose time is over; keep of them what open panes, or spans yet to come, may need."""
        closing = [start_ns for start_ns in timeline.panes if self._config.closes_ns(start_ns) <= reached_ns]
        horizon_ns = self._config.oldest_open_ns(reached_ns) - self._config.reach_ns
        if not closing and (not len(timeline.context) or timeline.context.end_ns.min() >= horizon_ns):
            return
        for start_ns in closing:
            self._losses.absorb(timeline.panes[start_ns].losses)
        closed = StubColumns.joined([timeline.context, *(timeline.panes.pop(start_ns).spans() for start_ns in closing)])
        near = closed.end_ns >= horizon_ns
        waiting = np.zeros(0, dtype=np.uint64)
        for pane in timeline.panes.values():
            waiting = np.union1d(waiting, pane.known_traces())
        orphans = closed.trace[(closed.parent != 0) & ~np.isin(closed.parent, closed.span)]
        kept = near & (_is_in(closed.trace, waiting) | np.isin(closed.trace, orphans))
        timeline.context = closed.take(kept)
        self._held -= int((~kept).sum())

    def _columns(self) -> list[StubColumns]:
        lists = [
            [t.context, *(part for pane in t.panes.values() for part in pane.parts)] for t in self._timelines.values()
        ]
        return [columns for found in lists for columns in found]


def _is_in(values: Hashes, ordered: Hashes) -> NDArray[np.bool_]:
    """Tell which values are in an ascending array."""
    if not len(ordered):
        return np.zeros(len(values), dtype=np.bool_)
    found: NDArray[np.bool_] = ordered[np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)] == values
    return found
