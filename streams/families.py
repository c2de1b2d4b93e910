"""The spans of one pane with all others of the same traces: who is whose parent, who serves and who calls.

A sorted join, no dictionary: spans are ordered by key once, parents are found with one binary search each.
What is found depends on nothing but the set of spans, so arrival order has no part in it.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from streams.contents import SpanKind
from streams.grouping import Ints
from streams.otlp.columns import PeerKind
from streams.stub_blocks import StubColumns
from streams.windows import WindowConfig

Mask = NDArray[np.bool_]

NONE = -1


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
