"""Which nodes the traces of a pane passed through, which of them failed, and where they failed first.

A trace is counted once, in the pane in which its root ends, for every service and virtual node it touched. It has
failed when any of its spans has; where it failed is where its deepest failing span is (at the other end of it, when
that span is a call that got no further). What is chronic in this is told from news by comparing panes, not here.

The counts are those of spectrum-based fault localisation: components hit by failing and by passing runs (Abreu,
Zoeteweij, van Gemund: TAICPART 2007), a service being a component and a trace a run.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from streams.families import NONE, Family
from streams.grouping import Ints, groups_of, pack, runs_in
from streams.latency import bin_of
from streams.otlp.columns import PeerKind

COARSE = 4
"""Root durations are kept in bins of half a doubling: sketch bins without their last four bits."""

_MAX_DOUBLINGS = 20
_BINS = 1 << 9


class Passages(NamedTuple):
    """Counts of traces, one row each group. ``node`` indexes ``nodes``.

    A node is (service, -1, 0), or (-1, peer text, peer kind) for a virtual one of the tenant of the entry.
    """

    nodes: list[tuple[int, int, int]]
    node: Ints
    entry: Ints
    """Service of the root span."""
    failing: Ints
    is_origin: Ints
    duration_bin: Ints
    """Of the root span, coarse."""
    traces: Ints


class _Traces(NamedTuple):
    """The traces that are counted in this pane, by ascending key."""

    keys: NDArray[np.uint64]
    root: Ints
    number: Ints
    """For each row of the family the number of its trace; -1 when that is not counted here."""


def passages_of(family: Family) -> Passages:
    """Count the traces whose root ends in the family's pane, by node, entry and outcome."""
    traces = _traces_of(family)
    places = _Places.of(family)
    visits = np.unique(np.concatenate([_visits(traces, one, len(places.nodes)) for one in (places.own, places.called)]))
    trace, visited = np.divmod(visits, max(len(places.nodes), 1))
    failing, origin = _failures(family, traces, places)
    spans, root = family.spans, traces.root[trace]
    entry = spans.service[root].astype(np.int64)
    is_origin = (origin[trace] == visited).astype(np.int64)
    duration_bin = (bin_of(family.duration_ns[root]) >> COARSE).astype(np.int64)
    services = int(spans.service.max(initial=0)) + 1
    groups = groups_of(
        pack((visited, 0), (entry, services), (failing[trace], 2), (is_origin, 2), (duration_bin, _BINS))
    )
    first = groups.first
    return Passages(
        places.nodes, visited[first], entry[first], failing[trace][first], is_origin[first], duration_bin[first],
        groups.counts,
    )  # fmt: skip


def _traces_of(family: Family) -> _Traces:
    """Find the root of each trace: the parentless span that names no parent, else the longest."""
    spans = family.spans
    tops = np.flatnonzero(family.parent < 0)
    order = np.lexsort((spans.span[tops], -family.duration_ns[tops], spans.parent[tops] != 0, spans.trace[tops]))
    first = runs_in(spans.trace[tops][order], order).first
    root = tops[first]
    root = root[family.own[root]]
    keys = spans.trace[root]
    if not len(keys):
        return _Traces(keys, root, np.full(len(spans), NONE))
    place = np.minimum(np.searchsorted(keys, spans.trace), len(keys) - 1)
    return _Traces(keys, root, np.where(keys[place] == spans.trace, place, NONE))


class _Places(NamedTuple):
    """The nodes, and for each span that of its own service, and the virtual one it calls (-1: none)."""

    nodes: list[tuple[int, int, int]]
    own: Ints
    called: Ints

    @classmethod
    def of(cls, family: Family) -> _Places:
        """Number the services and virtual nodes of a family."""
        spans = family.spans
        services, own = np.unique(spans.service, return_inverse=True)
        lonely = np.flatnonzero(family.is_lonely & (spans.peer_kind != PeerKind.NONE))
        ends, called = np.unique(
            np.stack([spans.peer[lonely], spans.peer_kind[lonely]]).astype(np.int64),
            axis=1,
            return_inverse=True,
        )
        node = np.full(len(spans), NONE)
        node[lonely] = len(services) + called.reshape(-1)
        nodes = [(service, NONE, int(PeerKind.NONE)) for service in services.tolist()]
        return cls(nodes + [(NONE, peer, kind) for peer, kind in ends.T.tolist()], own.astype(np.int64), node)


def _visits(traces: _Traces, node: Ints, nodes: int) -> Ints:
    """Return each (trace, node) as one number."""
    rows = np.flatnonzero((traces.number >= 0) & (node >= 0))
    return pack((traces.number[rows], 0), (node[rows], nodes))


def _failures(family: Family, traces: _Traces, places: _Places) -> tuple[Ints, Ints]:
    """Return for each trace whether it failed (0 or 1) and the node of its deepest failing span (-1: none)."""
    spans = family.spans
    failing, origin = np.zeros(len(traces.keys), dtype=np.int64), np.full(len(traces.keys), NONE)
    rows = np.flatnonzero((spans.error != 0) & (traces.number >= 0))
    if not len(rows):
        return failing, origin
    depth = _depths(family.parent)[rows]
    order = np.lexsort((spans.span[rows], spans.end_ns[rows], -depth, traces.number[rows]))
    deepest = rows[runs_in(traces.number[rows][order], order).first]
    server = family.server[deepest]
    where = np.where(server >= 0, places.own[server], places.own[deepest])
    trace = traces.number[deepest]
    failing[trace] = 1
    origin[trace] = np.where(places.called[deepest] >= 0, places.called[deepest], where)
    return failing, origin


def _depths(parent: Ints) -> Ints:
    """Return how many ancestors each row has, by pointer doubling."""
    rows = np.arange(len(parent))
    up = np.where(parent >= 0, parent, rows)
    depth = (parent >= 0).astype(np.int64)
    for _ in range(_MAX_DOUBLINGS):
        if not depth[up].any():
            break
        depth = depth + depth[up]
        up = up[up]
    return depth
