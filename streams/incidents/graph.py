"""The live graph: who called whom lately, learned from the incoming edges of every pane."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from schemas.deviations import ServiceDeviations
from schemas.health import NodeKind
from schemas.keys import UNKNOWN_NODE


@dataclass(slots=True)
class LiveGraph:
    """Edges client -> server with the start of the last pane that had a request on them."""

    edges: dict[tuple[str, str], int] = field(default_factory=dict)
    entries: dict[str, int] = field(default_factory=dict)
    """Services called by clients that send no telemetry: where the users come in."""

    def see(self, deviations: Iterable[ServiceDeviations]) -> None:
        """Take the edges of one pane."""
        for one in deviations:
            for edge in one.edges_in:
                if edge.requests <= 0 or edge.client == UNKNOWN_NODE:  # queues without a name are not one queue
                    continue
                if edge.client_kind is NodeKind.CLIENT:
                    self.entries[one.service] = max(one.pane_start_ns, self.entries.get(one.service, 0))
                else:
                    key = (edge.client, one.service)
                    self.edges[key] = max(one.pane_start_ns, self.edges.get(key, 0))

    def forget(self, before_ns: int, max_edges: int) -> int:
        """Drop edges last used before this instant, and the oldest beyond `max_edges`; return how many those are."""
        self.edges = {edge: seen for edge, seen in self.edges.items() if seen >= before_ns}
        self.entries = {service: seen for service, seen in self.entries.items() if seen >= before_ns}
        excess = max(0, len(self.edges) - max_edges)
        if excess:
            newest = sorted(self.edges.items(), key=lambda item: (-item[1], item[0]))[:max_edges]
            self.edges = dict(newest)
        return excess

    def callers(self, service: str) -> list[str]:
        """Return who calls this service, sorted."""
        return sorted(client for client, server in self.edges if server == service)

    def callees(self, service: str) -> list[str]:
        """Return whom this service calls, sorted."""
        return sorted(server for client, server in self.edges if client == service)

    def reached_from(self, service: str) -> set[str]:
        """Return whom this service calls, and whom those call, and so on."""
        found: set[str] = set()
        ways = [service]
        while ways:
            client = ways.pop()
            new = {server for one, server in self.edges if one == client} - found
            found |= new
            ways += new
        return found

    def touches(self, one: str, other: str) -> bool:
        """Tell whether one calls the other, either way round."""
        return (one, other) in self.edges or (other, one) in self.edges
