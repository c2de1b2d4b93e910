"""The requests between services that the spans of a pane tell of (`streams.families`), one row each.

A request is counted exactly once: in the pane of its client span's end, or of its server span's end when no
client span belongs to it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streams.contents import SpanKind
from streams.families import NONE, Family, Mask
from streams.grouping import Ints
from streams.otlp.columns import PeerKind


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


def requests_of(family: Family) -> Requests:
    """Return every request that belongs to the family's pane."""
    parts = [
        _paired(family, np.flatnonzero(family.called & family.own[family.known])),
        _half_servers(family, np.flatnonzero(family.serves & ~family.called & family.own)),
        _half_clients(family, np.flatnonzero(family.is_lonely & family.own)),
    ]
    return Requests(*(np.concatenate([getattr(part, name) for part in parts]) for name in _REQUEST_FIELDS))


def _paired(family: Family, servers: Ints) -> Requests:
    spans, clients = family.spans, family.known[servers]
    messaging = (spans.kind[clients] == SpanKind.PRODUCER) | (spans.kind[servers] == SpanKind.CONSUMER)
    order = np.lexsort((spans.span[servers], spans.start_ns[servers], clients))
    servers, clients, messaging = servers[order], clients[order], messaging[order]
    leads = np.ones(len(clients), dtype=np.bool_)
    leads[1:] = clients[1:] != clients[:-1]  # of several server spans below one client span
    served_ns = np.bincount(clients, weights=family.duration_ns[servers], minlength=len(spans)).astype(np.int64)
    waited_ns = np.maximum(family.duration_ns[clients] - served_ns[clients], 0)
    queued_ns = np.maximum(spans.start_ns[servers] - spans.end_ns[clients], 0)
    return Requests(
        client=_ints(spans.service[clients]),
        server=_ints(spans.service[servers]),
        peer=np.full(len(servers), NONE),
        peer_kind=_ints(spans.peer_kind[clients]),
        messaging=messaging,
        error=(spans.error[clients] | spans.error[servers]) != 0,
        client_ns=np.where(leads, family.duration_ns[clients], NONE),
        server_ns=family.duration_ns[servers],
        gap_ns=np.where(messaging, queued_ns, np.where(leads, waited_ns, NONE)),
        paired=np.ones(len(servers), dtype=np.bool_),
        expired=np.zeros(len(servers), dtype=np.bool_),
    )


def _half_servers(family: Family, servers: Ints) -> Requests:
    """Requests without a client span: from another service's span, or from outside."""
    spans, parents = family.spans, family.known[servers]
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
        server_ns=family.duration_ns[servers],
        gap_ns=np.full(len(servers), NONE),
        paired=np.zeros(len(servers), dtype=np.bool_),
        expired=outside & (spans.parent[servers] != 0),
    )


def _half_clients(family: Family, clients: Ints) -> Requests:
    spans = family.spans
    named = spans.peer_kind[clients] != PeerKind.NONE
    return Requests(
        client=_ints(spans.service[clients]),
        server=np.full(len(clients), NONE),
        peer=np.where(named, spans.peer[clients], NONE).astype(np.int64),
        peer_kind=_ints(spans.peer_kind[clients]),
        messaging=spans.kind[clients] == SpanKind.PRODUCER,
        error=spans.error[clients] != 0,
        client_ns=family.duration_ns[clients],
        server_ns=np.full(len(clients), NONE),
        gap_ns=np.full(len(clients), NONE),
        paired=np.zeros(len(clients), dtype=np.bool_),
        expired=~named,
    )


_REQUEST_FIELDS = tuple(Requests.__dataclass_fields__)


def _ints(values: NDArray[np.generic]) -> Ints:
    return values.astype(np.int64)
