"""Measure panes again from everything that is stored of them, late or not: by the very folds that measured them live.

::

    spans, logs of [first pane - window - reach, last pane + reach] ─▶ PaneFold, StubFold, EdgeFold ─▶ HealthFold

All items are handed in as of one arrival, at which nothing is late. So the outcome is what the stages would have said
had everything come in time.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from schemas.health import ServiceHealth
from schemas.topics import LOGS, ROLLUPS, STUBS, TRACES
from streams.edges import EdgeFold
from streams.health import HealthFold
from streams.otlp import decode_logs, decode_spans
from streams.panes import PaneFold
from streams.partials import ServicePartial
from streams.progress import Progress
from streams.stub_blocks import decode_stubs
from streams.stubs import StubFold
from streams.windows import HOUR_NS, WindowConfig

_TRACES, _LOGS, _STUBS, _ROLLUPS = (f"{topic.name}/0" for topic in (TRACES, LOGS, STUBS, ROLLUPS))
_AGES_NS = 10 * 365 * 24 * HOUR_NS
"""Longer than anything that is measured at once."""
_LAST_OFFSET = 1 << 40


@dataclass(frozen=True, slots=True)
class Reach:
    """Event times that panes [first, last] need: [start, end) for spans by their ends, and for log records."""

    start_ns: int
    end_ns: int


def reach_of(first_pane_ns: int, last_pane_ns: int, config: WindowConfig) -> Reach:
    """Return what must be read to measure the panes from ``first_pane_ns`` to ``last_pane_ns``.

    Their windows begin earlier, and what a span in them is paired with may end before or after them.
    """
    start_ns = first_pane_ns + config.pane_ns - config.window_ns - config.reach_ns
    return Reach(start_ns, last_pane_ns + config.pane_ns + config.reach_ns)


def touched_panes(late_panes: Iterable[int], related_panes: Iterable[int], config: WindowConfig) -> list[int]:
    """Return the panes that late items may have changed, in order.

    These are their own (``late_panes``) and those of other spans of their traces (``related_panes``), as far as those
    are put together at all; and every pane whose window has one of them in it.
    """
    late = sorted(set(late_panes))
    related = [p for p in set(related_panes) if any(abs(p - one) <= config.reach_ns for one in late)]
    window = range(0, config.window_ns, config.pane_ns)
    return sorted({pane + later for pane in (*late, *related) for later in window})


def measure(
    tenant: str, traces: Iterable[bytes], logs: Iterable[bytes], panes: list[int], config: WindowConfig
) -> list[ServiceHealth]:
    """Return the pictures of these panes, in the order of their panes, for every node that any item speaks of.

    ``traces`` and ``logs`` are requests with all items that are stored within `reach_of` the panes, in any order, but
    those that were out of range when they came. Versions and revisions are not set.
    """
    config = replace(config, past_ns=_AGES_NS, future_ns=_AGES_NS)
    arrival_ns = reach_of(panes[0], panes[-1], config).start_ns  # before everything: nothing is late
    partials = _partials(tenant, traces, logs, arrival_ns, config)
    health = HealthFold(_ROLLUPS, [_TRACES], config)
    for partial in partials:
        health.step_partial(partial, 0)
    closes_ns = config.closes_ns(panes[-1])
    health.step_progress(Progress(_TRACES, closes_ns, {tenant: closes_ns}), 0)
    wanted = frozenset(panes)
    return [picture for picture in health.publish() if picture.pane_start_ns in wanted]


def _partials(
    tenant: str, traces: Iterable[bytes], logs: Iterable[bytes], arrival_ns: int, config: WindowConfig
) -> list[ServicePartial]:
    panes, records = PaneFold(_TRACES, config), PaneFold(_LOGS, config)
    stubs, edges = StubFold(_TRACES, 1, config), EdgeFold(_STUBS, [_TRACES], config)
    for offset, payload in enumerate(logs):
        records.step_logs(tenant, decode_logs(payload), arrival_ns, offset, True)
    for offset, payload in enumerate(traces):
        spans = decode_spans(payload)
        panes.step_spans(tenant, spans, arrival_ns, offset, True)
        stubs.step(tenant, spans, arrival_ns, offset, True)
    for number, record in enumerate(stubs.flush()):
        edges.step(decode_stubs(record.value), number)
    over_ns = arrival_ns + _AGES_NS
    edges.step_progress(Progress(_TRACES, over_ns, {tenant: over_ns}), _LAST_OFFSET)
    return [*panes.flush(), *records.flush(), *edges.flush()]
