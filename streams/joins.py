"""Put the spans of traces together: requests between services, and time that a service spent itself.

A sorted join, no dictionary: spans are ordered by key once, parents are found with one binary search each.
The input is the spans of one pane and all others of the same traces (`Family`); the output is for the pane
alone, and depends on nothing but that set of spans, so arrival order has no part in it.

A request is counted exactly once: in the pane of its client span's end, or of its server span's end when no
client span belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.grouping import Ints
from streams.otlp.columns import PeerKind
from streams.partials import SpanKind
from streams.stub_blocks import StubColumns
from streams.windows import WindowConfig

Mask = NDArray[np.bool_]

NONE = -1
_MAX_DOUBLINGS = 20
"""Reaches ancestors 2**20 levels up; a chain that has not ended by then is a cycle."""


@dataclass(slots=True)
class Requests:
    """Requests of one pane, one row each; -1 stands for "there is none".

    ``client`` and ``server`` are service ids; where one is missing, ``peer`` (a text id) and ``peer_kind`` may
    name a virtual node in its place. Durations and ``gap_ns`` are nanoseconds.
    """

    client: Ints
    server: Ints
    peer: Ints
    peer_kind: Ints
    messaging: Mask
    error: Mask
    client_ns: Ints
    server_ns: Ints
    gap_ns: Ints
    paired: Mask
    expired: Mask


class Family:
    """The spans of one pane (the first ``own`` rows) and the others of their traces, with parents found."""

    def __init__(self, spans: StubColumns, own: int, config: WindowConfig) -> None:
        spans, self.own, self.dropped, self.repeated = _without_twins(spans, own)
        """``dropped``: spans of this pane with the key of another; ``repeated``: those that say the same again."""
        self.spans = spans
        self._config = config
        self.pane_start_ns = spans.end_ns - spans.end_ns % config.pane_ns
        self.parent = _parents(spans)
        has_parent = self.parent >= 0
        self.foreign = has_parent & (spans.service[self.parent] != spans.service)
        self.known = self._known_parents()
        self.names_database: Mask = (spans.kind == SpanKind.UNSPECIFIED) & (spans.peer_kind == PeerKind.DATABASE)
        """Spans without a kind that call a database, unless another service turns out to have called them."""
        self.inferred_servers = self._serving()
        """Spans without a kind that are the server side of a request by their place in the trace."""
        self.inferred_clients = self._calling()
        """And those that are the client side of one."""
        self.kind = self._kinds()
        """Kinds as they were told or, where none was, as they are inferred."""
        self.is_entry = np.isin(self.kind, (SpanKind.SERVER, SpanKind.CONSUMER))
        self.is_out = np.isin(self.kind, (SpanKind.CLIENT, SpanKind.PRODUCER))
        self.duration_ns = spans.end_ns - spans.start_ns
        self.serves = self.is_entry | (self.foreign & (self.known >= 0))
        """The server sides of requests."""
        self.called = self.serves & (self.known >= 0) & self.is_out[self.known]
        """Those of them that a client span tells of."""
        self.server = self._servers()
        """For each client span the server side it reached, -1 for none."""
        self.is_lonely = self._lonely()
        """The client and producer spans that reached none, each call once."""

    # -- requests ------------------------------------------------------------------------------------------

    def requests(self) -> Requests:
        """Return every request that belongs to this pane."""
        parts = [
            self._paired(np.flatnonzero(self.called & self.own[self.known])),
            self._half_servers(np.flatnonzero(self.serves & ~self.called & self.own)),
            self._half_clients(np.flatnonzero(self.is_lonely & self.own)),
        ]
        return Requests(*(np.concatenate([getattr(part, name) for part in parts]) for name in _REQUEST_FIELDS))

    def _known_parents(self) -> Ints:
        """Return the parents that are certain to have been here whenever either pane was final; else -1.

        Both must have arrived before the other's pane closed for good, whatever the order; a stateless rule.
        """
        parent, spans = self.parent, self.spans
        final_ns = self.pane_start_ns + (self._config.pane_ns + self._config.lateness_ns + self._config.pair_wait_ns)
        in_time = (spans.arrival_ns < final_ns[parent]) & (spans.arrival_ns[parent] < final_ns)
        near = np.abs(self.pane_start_ns - self.pane_start_ns[parent]) <= self._config.reach_ns
        return np.where((parent >= 0) & in_time & near, parent, NONE)

    def _serving(self) -> Mask:
        """Tell which spans nobody gave a kind are where a service was called: from another service, or as a root.

        One whose parent never came may be anything.
        """
        crossing = self.foreign & (self.known >= 0)
        mask: Mask = (self.spans.kind == SpanKind.UNSPECIFIED) & (crossing | (self.spans.parent == 0))
        return mask

    def _calling(self) -> Mask:
        """Tell which spans nobody gave a kind are where a service calls another: right above a span of the other.

        So is one that names a database, which has no spans. Other peers are named by both sides of a call.
        """
        calls = self.names_database.copy()
        calls[self.known[self.foreign & (self.known >= 0)]] = True
        mask: Mask = (self.spans.kind == SpanKind.UNSPECIFIED) & calls & ~self.inferred_servers
        return mask

    def _kinds(self) -> NDArray[np.uint8]:
        kind = np.where(self.inferred_servers, np.uint8(SpanKind.SERVER), self.spans.kind)
        return np.where(self.inferred_clients, np.uint8(SpanKind.CLIENT), kind)

    def _servers(self) -> Ints:
        """Of several server sides of one client span the one with the smallest key."""
        rows = np.flatnonzero(self.called)
        rows = rows[np.argsort(self.spans.span[rows])[::-1]]
        server = np.full(len(self.spans), NONE)
        server[self.known[rows]] = rows
        return server

    def _paired(self, servers: Ints) -> Requests:
        spans, clients = self.spans, self.known[servers]
        messaging = (spans.kind[clients] == SpanKind.PRODUCER) | (spans.kind[servers] == SpanKind.CONSUMER)
        order = np.lexsort((spans.span[servers], spans.start_ns[servers], clients))
        servers, clients, messaging = servers[order], clients[order], messaging[order]
        leads = np.ones(len(clients), dtype=np.bool_)
        leads[1:] = clients[1:] != clients[:-1]  # of several server spans below one client span
        served_ns = np.bincount(clients, weights=self.duration_ns[servers], minlength=len(spans)).astype(np.int64)
        waited_ns = np.maximum(self.duration_ns[clients] - served_ns[clients], 0)
        queued_ns = np.maximum(spans.start_ns[servers] - spans.end_ns[clients], 0)
        return Requests(
            client=_ints(spans.service[clients]),
            server=_ints(spans.service[servers]),
            peer=np.full(len(servers), NONE),
            peer_kind=_ints(spans.peer_kind[clients]),
            messaging=messaging,
            error=(spans.error[clients] | spans.error[servers]) != 0,
            client_ns=np.where(leads, self.duration_ns[clients], NONE),
            server_ns=self.duration_ns[servers],
            gap_ns=np.where(messaging, queued_ns, np.where(leads, waited_ns, NONE)),
            paired=np.ones(len(servers), dtype=np.bool_),
            expired=np.zeros(len(servers), dtype=np.bool_),
        )

    def _half_servers(self, servers: Ints) -> Requests:
        """Requests without a client span: from another service's span, or from outside."""
        spans, parents = self.spans, self.known[servers]
        nested = (parents >= 0) & (spans.service[parents] == spans.service[servers])
        servers, parents = servers[~nested], parents[~nested]
        outside = parents < 0
        messaging = spans.kind[servers] == SpanKind.CONSUMER
        named = outside & messaging & (spans.peer_kind[servers] == PeerKind.MESSAGING)
        return Requests(
            client=np.where(outside, NONE, spans.service[parents]).astype(np.int64),
            server=_ints(spans.service[servers]),
            peer=np.where(named, spans.peer[servers], NONE).astype(np.int64),
            peer_kind=np.where(named, PeerKind.MESSAGING, PeerKind.NONE).astype(np.int64),
            messaging=messaging,
            error=spans.error[servers] != 0,
            client_ns=np.full(len(servers), NONE),
            server_ns=self.duration_ns[servers],
            gap_ns=np.full(len(servers), NONE),
            paired=np.zeros(len(servers), dtype=np.bool_),
            expired=outside & (spans.parent[servers] != 0),
        )

    def _lonely(self) -> Mask:
        """Return the client and producer spans that reached no server span, each call once.

        Instrumentations nest client spans (a search client over an HTTP client). Such a call is told by the
        span that is paired, else by the outermost one that names its peer, else by the innermost.
        """
        spans, parent = self.spans, self.parent
        reached = self.server >= 0
        lonely = self.is_out & ~reached
        inner = np.flatnonzero(self.is_out & (parent >= 0) & ~self.foreign & self.is_out[parent])
        names_peer = spans.peer_kind != PeerKind.NONE
        drop = np.zeros(len(spans), dtype=np.bool_)
        drop[parent[inner]] |= ~names_peer[parent[inner]]
        drop[parent[inner[reached[inner]]]] = True
        covered = inner[(lonely & names_peer & ~drop)[parent[inner]]]
        drop[covered] = True
        return lonely & ~drop

    def _half_clients(self, clients: Ints) -> Requests:
        spans = self.spans
        named = spans.peer_kind[clients] != PeerKind.NONE
        return Requests(
            client=_ints(spans.service[clients]),
            server=np.full(len(clients), NONE),
            peer=np.where(named, spans.peer[clients], NONE).astype(np.int64),
            peer_kind=_ints(spans.peer_kind[clients]),
            messaging=spans.kind[clients] == SpanKind.PRODUCER,
            error=spans.error[clients] != 0,
            client_ns=self.duration_ns[clients],
            server_ns=np.full(len(clients), NONE),
            gap_ns=np.full(len(clients), NONE),
            paired=np.zeros(len(clients), dtype=np.bool_),
            expired=~named,
        )

    # -- self time -----------------------------------------------------------------------------------------

    def self_times(self) -> tuple[Ints, Ints]:
        """Return rows of this pane and their self time (ns); client and producer spans have none.

        Of an entry span: its duration not covered by calls its service made below it. Of another span: its
        duration not covered by its direct children.
        """
        measured = np.flatnonzero(self.own & ~self.is_out)
        calls, callers = self._calls()
        inner = np.flatnonzero((self.parent >= 0) & ~self.is_entry[self.parent])
        children = np.concatenate((calls, inner))
        owners = np.concatenate((callers, self.parent[inner]))
        wanted = self.own[owners]
        covered_ns = self._covered_ns(children[wanted], owners[wanted])
        return measured, self.duration_ns[measured] - covered_ns[measured]

    def _calls(self) -> tuple[Ints, Ints]:
        """Return the spans that leave a service, and for each the entry span of the service it was made for."""
        entries = self._entries()
        out = np.flatnonzero(self.is_out & (entries >= 0))
        crossing = np.flatnonzero(self.foreign)
        direct = crossing[entries[self.parent[crossing]] >= 0]
        calls = np.concatenate((out, direct))
        callers = np.concatenate((entries[out], entries[self.parent[direct]]))
        return calls, callers

    def _entries(self) -> Ints:
        """Climb from each span to the entry span above it in the same service; -1 where there is none."""
        rows = np.arange(len(self.spans))
        stays = self.is_entry | (self.parent < 0) | self.foreign
        up = np.where(stays, rows, self.parent)
        for _ in range(_MAX_DOUBLINGS):
            further = up[up]
            if np.array_equal(further, up):
                break
            up = further
        return np.where(stays[up] & self.is_entry[up], up, NONE)

    def _covered_ns(self, children: Ints, owners: Ints) -> Ints:
        """Return for each row how much of it the union of its children's intervals covers (ns)."""
        covered = np.zeros(len(self.spans), dtype=np.int64)
        begin = np.maximum(self.spans.start_ns[children], self.spans.start_ns[owners])
        end = np.minimum(self.spans.end_ns[children], self.spans.end_ns[owners])
        real = end > begin
        begin, end, owners = begin[real], end[real], owners[real]
        order = np.lexsort((end, begin, owners))
        begin, end, owners = begin[order], end[order], owners[order]
        reached = _running_max(end - self.spans.start_ns[owners], owners) + self.spans.start_ns[owners]
        before = np.empty_like(reached)
        before[1:] = reached[:-1]
        fresh = np.ones(len(owners), dtype=np.bool_)
        fresh[1:] = owners[1:] != owners[:-1]
        before[fresh] = begin[fresh]
        np.add.at(covered, owners, np.maximum(end - np.maximum(begin, before), 0))
        return covered


_REQUEST_FIELDS = tuple(Requests.__dataclass_fields__)


def _running_max(values: Ints, groups: Ints) -> Ints:
    """Return the running maximum of non-negative values within each group of ascending, adjacent groups."""
    if not len(values):
        return values
    number = np.zeros(len(groups), dtype=np.int64)
    number[1:] = np.cumsum(groups[1:] != groups[:-1])
    stride = int(values.max()) + 1
    if int(number[-1]) * stride < 1 << 62:
        return np.maximum.accumulate(values + number * stride) - number * stride
    cuts = np.flatnonzero(np.diff(number)) + 1
    return np.concatenate([np.maximum.accumulate(part) for part in np.split(values, cuts)])


def _parents(spans: StubColumns) -> Ints:
    """Return the row of each span's parent, -1 for none (a span is never its own parent)."""
    if not len(spans):
        return np.zeros(0, dtype=np.int64)
    order = np.argsort(spans.span)
    keys = spans.span[order]
    place = np.minimum(np.searchsorted(keys, spans.parent), len(keys) - 1)
    found = (keys[place] == spans.parent) & (spans.parent != 0) & (spans.parent != spans.span)
    return np.where(found, order[place], NONE)


def _without_twins(spans: StubColumns, own: int) -> tuple[StubColumns, Mask, StubColumns, StubColumns]:
    """Keep one of several spans with the same key, chosen by content.

    Returns also which are of the pane, those of the pane that were dropped, and which of these say what the one that
    is kept says: the same service and kind (client and server may share a span id, as Zipkin's do).
    """
    is_own = np.arange(len(spans)) < own
    ordered = np.sort(spans.span)
    if not (ordered[1:] == ordered[:-1]).any():
        nothing = spans.take(slice(0, 0))
        return spans, is_own, nothing, nothing
    order = np.lexsort((spans.arrival_ns, spans.kind, spans.start_ns, spans.end_ns, spans.span))
    first = np.ones(len(spans), dtype=np.bool_)
    first[1:] = spans.span[order][1:] != spans.span[order][:-1]
    kept, dropped = order[first], order[~first]
    instead = kept[np.cumsum(first)[~first] - 1]
    alike = (spans.service[dropped] == spans.service[instead]) & (spans.kind[dropped] == spans.kind[instead])
    of_pane, kept = is_own[dropped], np.sort(kept)
    return spans.take(kept), is_own[kept], spans.take(dropped[of_pane]), spans.take(dropped[of_pane & alike])


def _ints(values: NDArray[np.generic]) -> Ints:
    return values.astype(np.int64)
