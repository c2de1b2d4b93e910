"""Tally what a join found: pane contents of each service and virtual node."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from schemas.health import ConnectionType, NodeKind
from schemas.keys import CLIENT_NODE, OVERFLOW_OPERATION, OVERFLOW_SERVICE, UNKNOWN_NODE
from schemas.losses import LossReason
from streams.contents import (
    ENTRY_KINDS,
    EdgeKey,
    EdgeTally,
    OperationKey,
    OperationTally,
    PaneContents,
    PassageTally,
    SpanKind,
)
from streams.families import Family
from streams.grouping import Ints, Runs, groups_of, pack, runs_of
from streams.joins import Requests, requests_of
from streams.latency import BIN_COUNT, Bins, bin_of, sketches_of
from streams.otlp.columns import PeerKind
from streams.passages import Passages, passages_of
from streams.registry import Registry
from streams.self_times import self_times_of
from streams.stub_blocks import StubColumns
from streams.windows import LossLedger, WindowConfig

_KINDS = 6
_PEER_NODES = {
    PeerKind.DATABASE: NodeKind.DATABASE,
    PeerKind.MESSAGING: NodeKind.MESSAGING,
    PeerKind.EXTERNAL: NodeKind.EXTERNAL,
}


class NodeKey(NamedTuple):
    """A service or virtual node of a tenant."""

    tenant: str
    name: str
    kind: str


Contents = dict[NodeKey, PaneContents]


def contents_of(family: Family, registry: Registry, config: WindowConfig, losses: LossLedger) -> Contents:
    """Return the self times, incoming edges and passages of every node that the pane's spans tell of.

    Spans that two exporters sent were counted twice where each source counts by itself: that is taken back here, where
    all of a trace meets, by counts below zero.
    A node that only an incomplete view of them would have told of has empty contents: they take back what a
    fold that was killed may have sent.
    """
    contents: Contents = {}
    _add_self_times(contents, family, registry)
    _add_edges(contents, requests_of(family), registry)
    _add_passages(contents, passages_of(family), registry)
    for node in _candidates(family, registry):
        contents.setdefault(node, PaneContents())
    _move_inferred(contents, family, registry)
    _take_back(contents, family.repeated, registry)
    for service in family.dropped.service.tolist():
        losses.add(registry.services.names[service][0], LossReason.DUPLICATE)
    return _capped(contents, config, losses)


def _add_self_times(contents: Contents, family: Family, registry: Registry) -> None:
    rows, self_ns = self_times_of(family)
    spans, texts = family.spans, len(registry.texts.names)
    keys = pack(
        (spans.service[rows], 0),
        (spans.operation[rows], texts),
        (family.kind[rows], _KINDS),
        (bin_of(self_ns), BIN_COUNT),
    )
    cells = groups_of(keys)
    for key, count in zip(keys[cells.first].tolist(), cells.counts.tolist(), strict=True):
        rest, self_bin = divmod(key, BIN_COUNT)
        _operation(contents, rest, texts, registry).self_time[self_bin] = count


def _take_back(contents: Contents, repeated: StubColumns, registry: Registry) -> None:
    """Take the requests, errors and durations of spans that were told again from their operations."""
    for key, tally in _counted(repeated, registry):
        _operation(contents, key, len(registry.texts.names), registry).add(_less(tally))


def _move_inferred(contents: Contents, family: Family, registry: Registry) -> None:
    """Count spans without a kind that are a side of a request as such: their source counted them under no kind."""
    texts = len(registry.texts.names)
    for kind, inferred in ((SpanKind.SERVER, family.inferred_servers), (SpanKind.CLIENT, family.inferred_clients)):
        for key, tally in _counted(family.spans.take(np.flatnonzero(inferred & family.own)), registry):
            _operation(contents, key, texts, registry).add(_less(tally))
            _operation(contents, key + kind, texts, registry).add(tally)


def _less(tally: OperationTally) -> OperationTally:
    """Return what takes a tally back."""
    return OperationTally(-tally.requests, -tally.errors, {place: -count for place, count in tally.latency.items()})


def _counted(spans: StubColumns, registry: Registry) -> Iterator[tuple[int, OperationTally]]:
    """Yield what the source of the spans counts of them, by packed (service, operation, kind)."""
    if not len(spans):
        return
    duration_ns = spans.end_ns - spans.start_ns
    keys = pack(
        (spans.service, 0), (spans.operation, len(registry.texts.names)), (spans.kind, _KINDS),
        (bin_of(duration_ns), BIN_COUNT), (spans.error, 2), (duration_ns < 0, 2),
    )  # fmt: skip
    cells = groups_of(keys)
    for key, count in zip(keys[cells.first].tolist(), cells.counts.tolist(), strict=True):
        rest, is_negative = divmod(key, 2)
        rest, error = divmod(rest, 2)
        rest, place = divmod(rest, BIN_COUNT)
        yield rest, OperationTally(count, count * error, {} if is_negative else {place: count})


def _operation(contents: Contents, key: int, texts: int, registry: Registry) -> OperationTally:
    """Return the tally of an operation, by a packed (service, operation, kind)."""
    rest, kind = divmod(key, _KINDS)
    service, operation = divmod(rest, texts)
    tenant, name = registry.services.names[service]
    operations = contents.setdefault(NodeKey(tenant, name, NodeKind.SERVICE.value), PaneContents()).operations
    return operations.setdefault((registry.texts.names[operation], kind), OperationTally())


def _add_edges(contents: Contents, requests: Requests, registry: Registry) -> None:
    """Group requests by their edge, then fill the tallies edge by edge."""
    services, texts = len(registry.services.names) + 1, len(registry.texts.names) + 1
    keys = pack(
        (requests.client + 1, 0),
        (requests.server + 1, services),
        (requests.peer + 1, texts),
        (requests.peer_kind, len(PeerKind)),
        (requests.messaging, 2),
    )
    edges = runs_of(keys)
    for first, tally in zip(edges.first.tolist(), _tallies(requests, edges), strict=True):
        server, edge = _ends_of(requests, first, registry)
        contents.setdefault(server, PaneContents()).edges.setdefault(edge, EdgeTally()).add(tally)


def _add_passages(contents: Contents, passages: Passages, registry: Registry) -> None:
    """Fill the tallies of the nodes that traces passed through."""
    for place, entry, failing, is_origin, duration_bin, traces in zip(
        *(column.tolist() for column in passages[1:-1]), strict=True
    ):
        tenant, name = registry.services.names[entry]
        node = _node_of(registry, tenant, *passages.nodes[place])
        tally = contents.setdefault(node, PaneContents()).passages.setdefault(name, PassageTally())
        tally.add(PassageTally(traces, failing * traces, is_origin * traces, {duration_bin: traces}))
    for place, entry, people in passages.people:
        tenant, name = registry.services.names[entry]
        contents[_node_of(registry, tenant, *passages.nodes[place])].passages[name].people = people


def _node_of(registry: Registry, tenant: str, service: int, peer: int, peer_kind: int) -> NodeKey:
    """Return the service, or the virtual node where there is none."""
    if service >= 0:
        return NodeKey(tenant, registry.services.names[service][1], NodeKind.SERVICE.value)
    return _behind(registry, tenant, peer, PeerKind(peer_kind))


def _ends_of(requests: Requests, row: int, registry: Registry) -> tuple[NodeKey, EdgeKey]:
    """Name both ends of a request's edge."""
    client, server, peer = int(requests.client[row]), int(requests.server[row]), int(requests.peer[row])
    peer_kind, messaging = PeerKind(int(requests.peer_kind[row])), bool(requests.messaging[row])
    tenant = registry.services.names[client if client >= 0 else server][0]
    connection = ConnectionType.MESSAGING if messaging else ConnectionType.REQUEST
    if peer_kind is PeerKind.DATABASE:
        connection = ConnectionType.DATABASE
    if server >= 0:
        node = NodeKey(tenant, registry.services.names[server][1], NodeKind.SERVICE.value)
    else:
        node = _behind(registry, tenant, peer, peer_kind)
        if node.kind == NodeKind.EXTERNAL:
            connection = ConnectionType.VIRTUAL
    if client >= 0:
        return node, (registry.services.names[client][1], NodeKind.SERVICE.value, connection.value)
    if peer >= 0:
        return node, (registry.texts.names[peer], NodeKind.MESSAGING.value, ConnectionType.MESSAGING.value)
    if messaging:  # a consumer, which no client waits for, whatever it does not say of its queue
        return node, (UNKNOWN_NODE, NodeKind.MESSAGING.value, ConnectionType.MESSAGING.value)
    return node, (CLIENT_NODE, NodeKind.CLIENT.value, ConnectionType.VIRTUAL.value)


def _candidates(family: Family, registry: Registry) -> set[NodeKey]:
    """Return the services, and the virtual nodes that calls would go to if nothing else was known of them."""
    spans, rows = family.spans, np.flatnonzero(family.is_out | family.names_database)
    ends = np.unique(
        np.stack([spans.service[rows], spans.peer[rows], spans.peer_kind[rows]]).astype(np.int64),
        axis=1,
    )
    virtual = {
        _behind(registry, registry.services.names[service][0], peer, PeerKind(peer_kind))
        for service, peer, peer_kind in ends.T.tolist()
    }
    known = (registry.services.names[service] for service in np.unique(spans.service).tolist())
    return virtual | {NodeKey(tenant, name, NodeKind.SERVICE.value) for tenant, name in known}


def _behind(registry: Registry, tenant: str, peer: int, peer_kind: PeerKind) -> NodeKey:
    """Return the virtual node behind a call that reached no server span."""
    if peer >= 0:
        return NodeKey(tenant, registry.texts.names[peer], _PEER_NODES[peer_kind].value)
    return NodeKey(tenant, UNKNOWN_NODE, NodeKind.EXTERNAL.value)


def _tallies(requests: Requests, edges: Runs) -> list[EdgeTally]:
    """Return the tally of each edge; its requests are a run."""
    if not len(edges.starts):
        return []
    one_sided = (requests.client < 0) | (requests.server < 0)
    marks = (requests.error, requests.paired, one_sided & ~requests.expired, requests.expired)
    counts = (np.add.reduceat(mark[edges.order].astype(np.int64), edges.starts).tolist() for mark in marks)
    durations_ns = (requests.client_ns, requests.server_ns, requests.gap_ns)
    sketches = (_sketches(duration_ns[edges.order], edges.counts) for duration_ns in durations_ns)
    return [EdgeTally(*each) for each in zip(edges.counts.tolist(), *counts, *sketches, strict=True)]


def _sketches(duration_ns: Ints, counts: Ints) -> list[Bins]:
    """Return the sketch of each run of so many durations; -1 is none."""
    bins = np.where(duration_ns >= 0, bin_of(duration_ns), BIN_COUNT)
    keys = np.repeat(np.arange(len(counts)), counts) * (BIN_COUNT + 1) + bins
    cells = groups_of(keys)
    sketches = sketches_of(keys[cells.first], cells.counts, BIN_COUNT + 1)
    for sketch in sketches:
        sketch.pop(BIN_COUNT, None)
    return sketches


# -- caps: the largest stay, ties by name, so the choice does not depend on order --------------------------


def _capped(contents: Contents, config: WindowConfig, losses: LossLedger) -> Contents:
    for node, found in contents.items():
        for entry, limit in ((True, config.max_entry_operations), (False, config.max_other_operations)):
            _cap_operations(node, found, entry, limit, losses)
        _cap_edges(node, found, config.max_edges, losses)
        _cap_passages(found, config.max_edges)
    by_tenant: dict[tuple[str, str], list[NodeKey]] = {}
    for node in contents:
        by_tenant.setdefault((node.tenant, node.kind), []).append(node)
    for (tenant, kind), nodes in by_tenant.items():
        nodes.sort(key=lambda node: (-sum(edge.requests for edge in contents[node].edges.values()), node.name))
        for node in nodes[config.max_services :]:
            surplus = contents.pop(node)
            losses.add(tenant, LossReason.SERVICE_OVERFLOW, sum(edge.requests for edge in surplus.edges.values()))
            contents.setdefault(NodeKey(tenant, OVERFLOW_SERVICE, kind), PaneContents()).add(surplus)
    return contents


def _cap_operations(node: NodeKey, found: PaneContents, entry: bool, limit: int, losses: LossLedger) -> None:
    keys: list[OperationKey] = [key for key in found.operations if (key[1] in ENTRY_KINDS) == entry]
    if len(keys) <= limit:
        return
    keys.sort(key=lambda key: (-sum(found.operations[key].self_time.values()), key))
    for key in keys[limit:]:
        surplus = found.operations.pop(key)
        losses.add(node.tenant, LossReason.OPERATION_OVERFLOW, sum(surplus.self_time.values()))
        found.operations.setdefault((OVERFLOW_OPERATION, key[1]), OperationTally()).add(surplus)


def _cap_edges(node: NodeKey, found: PaneContents, limit: int, losses: LossLedger) -> None:
    if len(found.edges) <= limit:
        return
    keys = sorted(found.edges, key=lambda key: (-found.edges[key].requests, key))
    for key in keys[limit:]:
        surplus = found.edges.pop(key)
        losses.add(node.tenant, LossReason.EDGE_OVERFLOW, surplus.requests)
        found.edges.setdefault((OVERFLOW_SERVICE, key[1], key[2]), EdgeTally()).add(surplus)


def _cap_passages(found: PaneContents, limit: int) -> None:
    """Keep the busiest entries apart; the traces of the others stay counted, their entry is not told."""
    entries = sorted(found.passages, key=lambda entry: (-found.passages[entry].traces, entry))
    for entry in entries[limit:]:
        found.passages.setdefault(OVERFLOW_SERVICE, PassageTally()).add(found.passages.pop(entry))
