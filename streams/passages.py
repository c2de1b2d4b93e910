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
from streams.people import EVERYBODY, SIZE, Mark, PeopleSample

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
    people: list[tuple[int, int, PeopleSample]]
    """(node, entry, who the traces were for), where any span says so."""


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
        groups.counts, _people(family, traces, trace, visited, entry, failing, duration_bin),
    )  # fmt: skip


def _people(
    family: Family, traces: _Traces, trace: Ints, visited: Ints, entry: Ints, failing: Ints, duration_bin: Ints
) -> list[tuple[int, int, PeopleSample]]:
    """Sample whom the traces were for, by node and entry; the nodes behind one entry have its limit."""
    hashed = _people_of(family, traces)
    if not hashed.any():
        return []
    of_entry = np.unique(pack((family.spans.service[traces.root], 0), (hashed, EVERYBODY))[hashed != 0])
    limits = {int(run[0] // EVERYBODY): _limit(run) for run in np.split(of_entry, _borders(of_entry // EVERYBODY))}
    limit = np.array([limits.get(place, 0) for place in range(int(entry.max(initial=0)) + 1)])
    rows = np.flatnonzero((hashed[trace] != 0) & (hashed[trace] < limit[entry]))
    pairs = groups_of(pack((visited[rows], 0), (entry[rows], len(limit))))
    keys, place = np.unique(pack((pairs.number, 0), (hashed[trace[rows]], EVERYBODY)), return_inverse=True)
    marks = np.zeros((2, len(keys)), dtype=np.int64)
    np.maximum.at(marks[0], place, failing[trace[rows]])
    np.maximum.at(marks[1], place, duration_bin[rows])
    found: list[dict[int, Mark]] = [{} for _ in pairs.first]
    for key, failed, longest in zip(keys.tolist(), *marks.tolist(), strict=True):
        found[key // EVERYBODY][key % EVERYBODY] = Mark(failed == 1, longest)
    ends = [(int(visited[row]), int(entry[row])) for row in rows[pairs.first]]
    return [(*end, PeopleSample(people, int(limit[end[1]]))) for end, people in zip(ends, found, strict=True)]


def _people_of(family: Family, traces: _Traces) -> Ints:
    """Return for each trace whom it was for: what the root says, else any other span of it; 0 where none does."""
    spans = family.spans
    rows = np.flatnonzero((spans.person != 0) & (traces.number >= 0))
    person = np.zeros(len(traces.keys), dtype=np.uint64)
    np.maximum.at(person, traces.number[rows], spans.person[rows])
    of_root = spans.person[traces.root]
    return (np.where(of_root != 0, of_root, person) >> np.uint64(32)).astype(np.int64)


def _borders(ascending: Ints) -> Ints:
    """Return where the next number begins."""
    return np.flatnonzero(np.diff(ascending)) + 1


def _limit(people: Ints) -> int:
    """Return from which hash on there is no room for the people of one entry, given in ascending order."""
    return int(people[SIZE] % EVERYBODY) if len(people) > SIZE else EVERYBODY


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
