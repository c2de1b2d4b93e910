"""What the windows must hold, told from all spans at once with dictionaries and loops.

Slow, simple, and written from the rules rather than from the folds. It knows every span and its arrival.
"""

from __future__ import annotations

import struct
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise

import numpy as np
from made_spans import CLIENT, SERVER, UNSPECIFIED, Arrival

from streams.contents import EdgeTally, OperationTally, PaneContents, PassageTally
from streams.mixing import span_keys, trace_keys
from streams.passages import COARSE
from streams.windows import WindowConfig

ENTRY, OUT = (2, 5), (3, 4)
Node = tuple[str, str]
Pictures = dict[tuple[str, str, int], PaneContents]
"""(node, its kind, pane start) -> contents, without samples."""


def bin_of_one(duration_ns: int) -> int:
    """Return the latency bin of one duration, by way of its float32 encoding."""
    bits: int = struct.unpack("<I", struct.pack("<f", float(duration_ns)))[0]
    return bits >> 18


def key_of(arrival: Arrival) -> int:
    """Return the hash that decides between spans that are otherwise alike."""
    trace, span = (np.array([number], dtype=np.uint64) for number in (arrival.span.trace, arrival.span.span))
    return int(span_keys(trace_keys("acme", np.zeros(1, dtype=np.uint64), trace), span)[0])


def is_late(arrival: Arrival, config: WindowConfig) -> bool:
    """Tell whether a span's pane had closed when its record arrived."""
    return config.closes_ns(config.pane_of(arrival.span.end_ns)) <= arrival.at_ns


def late_by_pane(arrivals: Iterable[Arrival], config: WindowConfig) -> Counter[tuple[str, int]]:
    """Count the late spans of each service by the pane in which they arrived."""
    return Counter((a.span.service, config.pane_of(a.at_ns)) for a in arrivals if is_late(a, config))


def operations_of(arrivals: Iterable[Arrival], config: WindowConfig) -> Pictures:
    """Count the requests, errors and durations of every operation in every pane."""
    pictures: Pictures = defaultdict(PaneContents)
    for arrival in arrivals:
        span = arrival.span
        if is_late(arrival, config):
            continue
        contents = pictures[span.service, "service", config.pane_of(span.end_ns)]
        tally = contents.operations.setdefault((span.name, span.kind), OperationTally())
        tally.requests += 1
        tally.errors += span.error
        count(tally.latency, span.end_ns - span.start_ns)
    return dict(pictures)


def count(bins: dict[int, int], duration_ns: int) -> None:
    """Count one duration in a sketch."""
    place = bin_of_one(duration_ns)
    bins[place] = bins.get(place, 0) + 1


def edges_of(arrivals: Iterable[Arrival], config: WindowConfig) -> Pictures:
    """Pair the requests and measure the self times of every pane."""
    inside = [arrival for arrival in arrivals if not is_late(arrival, config)]
    pictures: Pictures = defaultdict(PaneContents)
    for pane_start_ns in {config.pane_of(arrival.span.end_ns) for arrival in inside}:
        View(inside, pane_start_ns, config).draw(pictures)
    return dict(pictures)


class View:
    """The spans that one pane can see, and what it says of them."""

    def __init__(self, arrivals: list[Arrival], pane_start_ns: int, config: WindowConfig) -> None:
        self.config = config
        self.pane_start_ns = pane_start_ns
        self.seen = {
            (a.span.trace, a.span.span): a
            for a in arrivals
            if abs(config.pane_of(a.span.end_ns) - pane_start_ns) <= config.reach_ns
            and a.at_ns < self.final_ns(pane_start_ns)
        }
        self.own = [a for a in self.seen.values() if config.pane_of(a.span.end_ns) == pane_start_ns]

    def final_ns(self, pane_start_ns: int) -> int:
        """When nothing more is paired in a pane."""
        return self.config.closes_ns(pane_start_ns) + self.config.pair_wait_ns

    def parent(self, arrival: Arrival) -> Arrival | None:
        """The parent, if it can be seen."""
        return self.seen.get((arrival.span.trace, arrival.span.parent))

    def known_parent(self, arrival: Arrival) -> Arrival | None:
        """The parent, if both had arrived whenever one of their panes was final."""
        parent = self.parent(arrival)
        if parent is None:
            return None
        own_ns, parent_ns = (self.config.pane_of(a.span.end_ns) for a in (arrival, parent))
        in_time = arrival.at_ns < self.final_ns(parent_ns) and parent.at_ns < self.final_ns(own_ns)
        return parent if in_time and abs(own_ns - parent_ns) <= self.config.reach_ns else None

    def children(self, arrival: Arrival) -> list[Arrival]:
        """The spans that can be seen and name this one as their parent."""
        return [a for a in self.seen.values() if self.parent(a) is arrival]

    def serves(self, arrival: Arrival) -> bool:
        """Whether a span is the server side of a request."""
        parent = self.known_parent(arrival)
        return self.kind(arrival) in ENTRY or (parent is not None and parent.span.service != arrival.span.service)

    def kind(self, arrival: Arrival) -> int:
        """The kind of a span; without one it is a server where another service, or nobody, called.

        Else it is a client where another service comes right below it, or where it names a database.
        """
        span, parent = arrival.span, self.known_parent(arrival)
        if span.kind != UNSPECIFIED:
            return span.kind
        if span.parent == 0 if parent is None else parent.span.service != span.service:
            return SERVER
        below = (a for a in self.children(arrival) if self.known_parent(a) is arrival)
        calls = peer_node(span.peer)[1] == "database" or any(a.span.service != span.service for a in below)
        return CLIENT if calls else UNSPECIFIED

    def servers(self, client: Arrival) -> list[Arrival]:
        """The server sides of a client span, in the order they started."""
        served = [a for a in self.children(client) if self.serves(a) and self.known_parent(a) is client]
        return sorted(served, key=lambda a: a.span.start_ns)

    def draw(self, pictures: Pictures) -> None:
        """Add what this pane says."""
        for arrival in self.own:
            span, kind = arrival.span, self.kind(arrival)
            node = (span.service, "service", self.pane_start_ns)
            if kind != span.kind:
                self.move(arrival, pictures[node], kind)
            if kind not in OUT:
                tally = pictures[node].operations.setdefault((span.name, kind), OperationTally())
                count(tally.self_time, self.self_ns(arrival))
            else:
                self.draw_client(arrival, pictures)
            if self.serves(arrival):
                self.draw_server(arrival, pictures)
        for trace in {arrival.span.trace for arrival in self.own}:
            self.draw_passages([a for a in self.seen.values() if a.span.trace == trace], pictures)

    def move(self, arrival: Arrival, contents: PaneContents, kind: int) -> None:
        """Count a span as of this kind, and no longer as of its own."""
        span = arrival.span
        place = bin_of_one(span.end_ns - span.start_ns)
        for counted, sign in ((span.kind, -1), (kind, 1)):
            tally = contents.operations.setdefault((span.name, counted), OperationTally())
            tally.add(OperationTally(sign, sign * span.error, {place: sign}))

    # -- requests ------------------------------------------------------------------------------------------

    def draw_client(self, client: Arrival, pictures: Pictures) -> None:
        """Add the requests of a client span: one a server side, or one to a virtual node."""
        span, servers = client.span, self.servers(client)
        served_ns = sum(a.span.end_ns - a.span.start_ns for a in servers)
        for place, server in enumerate(servers):
            messaging = span.kind == 4 or server.span.kind == 5
            node, kind = peer_node(span.peer)
            connection = "database" if kind == "database" else "messaging" if messaging else "request"
            edge = self.edge(pictures, (server.span.service, "service"), (span.service, "service", connection))
            edge.requests += 1
            edge.paired += 1
            edge.errors += span.error or server.span.error
            count(edge.server, server.span.end_ns - server.span.start_ns)
            if place == 0:
                count(edge.client, span.end_ns - span.start_ns)
            if messaging:
                count(edge.gap, max(0, server.span.start_ns - span.end_ns))
            elif place == 0:
                count(edge.gap, max(0, span.end_ns - span.start_ns - served_ns))
        if not servers and not self.is_told_by_another(client):
            node, kind = peer_node(span.peer)
            messaging = span.kind == 4
            connection = {"database": "database", "messaging": "messaging" if messaging else "request"}.get(
                kind, "virtual"
            )
            kind = kind or "external"
            edge = self.edge(pictures, (node or "unknown", kind), (span.service, "service", connection))
            edge.requests += 1
            edge.errors += span.error
            edge.virtual += bool(node)
            edge.expired += not node
            count(edge.client, span.end_ns - span.start_ns)

    def is_told_by_another(self, client: Arrival) -> bool:
        """Whether a nested client span of the same service tells of this call."""
        inner = [a for a in self.children(client) if self.kind(a) in OUT and a.span.service == client.span.service]
        if any(self.servers(a) for a in inner) or (inner and not client.span.peer):
            return True
        outer = self.parent(client)
        if outer is None or self.kind(outer) not in OUT or outer.span.service != client.span.service:
            return False
        inner = [a for a in self.children(outer) if self.kind(a) in OUT and a.span.service == outer.span.service]
        return bool(outer.span.peer) and not self.servers(outer) and not any(self.servers(a) for a in inner)

    def draw_server(self, server: Arrival, pictures: Pictures) -> None:
        """Add the request of a server side that no client span told of."""
        span, parent = server.span, self.known_parent(server)
        if parent is not None and (self.kind(parent) in OUT or parent.span.service == span.service):
            return
        node, kind = peer_node(span.peer)
        if parent is not None:
            client = (parent.span.service, "service", "messaging" if span.kind == 5 else "request")
        elif span.kind == 5 and kind == "messaging":
            client = (node, "messaging", "messaging")
        elif span.kind == 5:
            client = ("unknown", "messaging", "messaging")
        else:
            client = ("client", "client", "virtual")
        edge = self.edge(pictures, (span.service, "service"), client)
        edge.requests += 1
        edge.errors += span.error
        edge.virtual += parent is None and span.parent == 0
        edge.expired += parent is None and span.parent != 0
        count(edge.server, span.end_ns - span.start_ns)

    def edge(self, pictures: Pictures, server: Node, client: tuple[str, str, str]) -> EdgeTally:
        """Return the tally of an edge of this pane."""
        return pictures[*server, self.pane_start_ns].edges.setdefault(client, EdgeTally())

    # -- passages ------------------------------------------------------------------------------------------

    def draw_passages(self, trace: list[Arrival], pictures: Pictures) -> None:
        """Count a trace, if its root ends in this pane, at every node that it touched."""
        tops = [a for a in trace if self.parent(a) is None]
        root = min(tops, key=lambda a: (a.span.parent != 0, a.span.start_ns - a.span.end_ns, key_of(a))).span
        if self.config.pane_of(root.end_ns) != self.pane_start_ns:
            return
        failing = [a for a in trace if a.span.error]
        origin = self.ends_at(min(failing, key=lambda a: (-self.depth(a), a.span.end_ns, key_of(a)))) if failing else ()
        for node in {(a.span.service, "service") for a in trace} | {self.ends_at(a) for a in trace if self.leaves(a)}:
            passages = pictures[*node, self.pane_start_ns].passages
            tally = passages.setdefault(root.service, PassageTally())
            tally.traces += 1
            tally.failing += bool(failing)
            tally.origins += node == origin
            place = bin_of_one(root.end_ns - root.start_ns) >> COARSE
            tally.durations[place] = tally.durations.get(place, 0) + 1

    def depth(self, arrival: Arrival) -> int:
        """How many ancestors can be seen."""
        parent = self.parent(arrival)
        return 0 if parent is None else 1 + self.depth(parent)

    def leaves(self, arrival: Arrival) -> bool:
        """Whether this call ended at a virtual node that has a name."""
        out = self.kind(arrival) in OUT and bool(arrival.span.peer)
        return out and not self.servers(arrival) and not self.is_told_by_another(arrival)

    def ends_at(self, arrival: Arrival) -> Node:
        """The node at the far end of a call, or that of the span itself."""
        if self.leaves(arrival):
            return peer_node(arrival.span.peer)
        servers = self.servers(arrival) if self.kind(arrival) in OUT else []
        return (min(servers, key=key_of) if servers else arrival).span.service, "service"

    # -- self time -----------------------------------------------------------------------------------------

    def self_ns(self, arrival: Arrival) -> int:
        """Return a span's duration without what it waited for."""
        span = arrival.span
        waits = self.calls_below(arrival) if self.kind(arrival) in ENTRY else self.children(arrival)
        instants = sorted({span.start_ns, span.end_ns, *(i for a in waits for i in (a.span.start_ns, a.span.end_ns))})
        covered_ns = 0
        for begin_ns, end_ns in pairwise(instants):
            inside = span.start_ns <= begin_ns and end_ns <= span.end_ns
            if inside and any(a.span.start_ns <= begin_ns and end_ns <= a.span.end_ns for a in waits):
                covered_ns += end_ns - begin_ns
        return span.end_ns - span.start_ns - covered_ns

    def calls_below(self, arrival: Arrival) -> list[Arrival]:
        """Return what the service called while it worked below an entry span."""
        found: list[Arrival] = []
        for child in self.children(arrival):
            if child.span.service != arrival.span.service:
                found.append(child)
            elif self.kind(child) not in ENTRY:
                found += [child] * (self.kind(child) in OUT) + self.calls_below(child)
        return found


def peer_node(peer: tuple[tuple[str, str], ...]) -> Node:
    """Return the virtual node that the attributes of `made_spans.PEERS` name, and its kind."""
    values = dict(peer)
    if "db.system.name" in values:
        return f"{values['db.system.name']}:{values['db.namespace']}", "database"
    if "messaging.system" in values:
        return f"{values['messaging.system']}:{values['messaging.destination.name']}", "messaging"
    if "server.address" in values:
        return f"{values['server.address']}:{values['server.port']}", "external"
    return "", ""
