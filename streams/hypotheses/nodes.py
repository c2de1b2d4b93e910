"""The nodes of a snapshot with what is looked up in them: series by name, callers, callees."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass

from schemas.deviations import SeriesKind
from schemas.health import NodeKind
from schemas.snapshots import CallerFinding, NodeFinding, RankingSnapshot, SeriesFinding

SeriesName = tuple[SeriesKind, str | None]
"""Kind, and the client of an edge."""


@dataclass(frozen=True, slots=True)
class Node:
    """One node: its finding, indexed. ``series`` are those of the whole node, ``operations`` those of a single one.

    Of several instances, or budgets, the surest and strongest counts: it is the last in a finding.
    """

    finding: NodeFinding
    series: dict[SeriesName, SeriesFinding]
    operations: list[SeriesFinding]
    callers: dict[str, CallerFinding]

    @classmethod
    def of(cls, finding: NodeFinding) -> Node:
        """Index a finding."""
        return cls(
            finding,
            {(one.kind, one.client): one for one in finding.series if one.operation is None},
            [one for one in finding.series if one.operation is not None],
            {caller.client: caller for caller in finding.callers},
        )

    @property
    def service(self) -> str:
        """The service or virtual node."""
        return self.finding.service

    @property
    def is_service(self) -> bool:
        """Whether it sends telemetry of its own."""
        return self.finding.node_kind is NodeKind.SERVICE

    @property
    def called_inside(self) -> int:
        """Requests by clients that send telemetry."""
        return sum(caller.requests for caller in self.finding.callers)

    def strength(self, kind: SeriesKind, client: str | None = None) -> float:
        """Return the strength of one series."""
        found = self.series.get((kind, client))
        return found.strength if found else 0.0

    def deviating_operations(self, kind: SeriesKind) -> list[SeriesFinding]:
        """Return the series of this kind that are of one operation and deviate or did."""
        return [one for one in self.operations if one.kind is kind and one.since_ns is not None]

    def strongest(self, kind: SeriesKind) -> SeriesFinding | None:
        """Return the series of the node, or of one of its operations where that is stronger."""
        found = [one for one in (self.series.get((kind, None)), *self.deviating_operations(kind)) if one is not None]
        return max(found, key=lambda one: one.strength, default=None)

    def since_ns(self, kinds: Collection[SeriesKind], from_ns: int = 0) -> int | None:
        """Return when the first of these series began to deviate, if any has; of those since `from_ns`, if any has."""
        found = (*self.series.values(), *self.operations)
        starts = [f.since_ns for f in found if f.kind in kinds and f.since_ns is not None]
        return min([start for start in starts if start >= from_ns] or starts, default=None)


class Nodes:
    """All nodes of a snapshot, by name in ascending order, with the graph between them."""

    def __init__(self, snapshot: RankingSnapshot) -> None:
        self._nodes = {finding.service: Node.of(finding) for finding in snapshot.nodes}
        self._callees: dict[str, list[Node]] = {}
        for node in self._nodes.values():
            for client in node.callers:
                self._callees.setdefault(client, []).append(node)

    def __iter__(self) -> Iterator[Node]:
        """All of them."""
        return iter(self._nodes.values())

    def __getitem__(self, service: str) -> Node:
        """The node of this name."""
        return self._nodes[service]

    def get(self, service: str) -> Node | None:
        """Return the node of this name, if there is one."""
        return self._nodes.get(service)

    def callees(self, service: str) -> list[Node]:
        """Return the nodes that this one calls."""
        return self._callees.get(service, [])

    def callers(self, service: str) -> list[Node]:
        """Return the nodes that call this one."""
        return [self._nodes[client] for client in self._nodes[service].callers if client in self._nodes]

    def reach(self, services: Collection[str]) -> set[str]:
        """Return who may be the cause of trouble at these: whatever they call and whoever calls them, all the way.

        Of services that none of the nodes is, it may be anyone.
        """
        found = {service for service in services if service in self._nodes} or set(self._nodes)
        below = _closure(found, lambda service: [node.service for node in self.callees(service)])
        return below | _closure(found, lambda service: [node.service for node in self.callers(service)])

    def doors(self) -> list[Node]:
        """Return where users come in: who is called more by clients that send no telemetry than by others.

        A call whose client's span was lost makes nobody a door; if nobody is one by that, any is that has such calls.
        """
        entries = [node for node in self if node.finding.is_entry]
        return [node for node in entries if 2 * node.called_inside <= node.finding.requests] or entries

    def depths(self, services: Collection[str]) -> dict[str, int]:
        """Return how many calls each node is away from the nearest of these; what no call reaches has none."""
        ring = [service for service in services if service in self._nodes]
        depths = dict.fromkeys(ring, 0)
        while ring:
            further = [n.service for service in ring for n in self.callees(service) if n.service not in depths]
            depth = depths[ring[0]] + 1
            ring = list(dict.fromkeys(further))
            depths |= dict.fromkeys(ring, depth)
        return depths


def _closure(start: Collection[str], further: Callable[[str], Collection[str]]) -> set[str]:
    reached, ring = set(start), set(start)
    while ring:
        ring = {other for service in ring for other in further(service)} - reached
        reached |= ring
    return reached
