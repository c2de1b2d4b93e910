"""Fetch over two connections to a broker at once, and never for long behind partitions that have nothing.

::

    partitions in turn ──▶ connection 0   ask ── the broker reads ── receive ── ask …
                       └─▶ connection 1        ask ── the broker reads ── receive ── ask …

A broker answers a connection's requests one after the other (Kafka protocol guide, "Network"), and aiokafka has one
fetch under way for a broker: while it is received and handed on the broker does nothing, and the other way round.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from aiokafka.consumer.fetcher import Fetcher

from sinks.kafka.receiving import ReceivingClient

CONNECTIONS = 2

HELD_BACK_WAIT_MS = 20
"""How long a fetch may wait at the broker for data if partitions of its connection have data nobody has taken yet.
They are left out of it, and could not be asked for before it is answered."""


class Path(NamedTuple):
    """A way to a broker: takes the place of its id where aiokafka has one fetch under way for each."""

    node_id: int
    connection: int


class PathClient(ReceivingClient):
    """aiokafka's client, to which a `Path` is as good as a broker's id.

    Each connection to a broker has a number, which aiokafka calls its group: 0 is for fetches, 1 for the coordinator of
    the consumer's group.
    """

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        """Send a request and return its answer."""
        if isinstance(node_id, Path) and node_id.connection:
            options["group"] = 1 + node_id.connection
        return await super().send(node_id.node_id if isinstance(node_id, Path) else node_id, request, **options)


class PathFetcher(Fetcher):  # type: ignore[misc]  # has no types
    """aiokafka's fetcher with a fetch under way for each `Path`.

    Overridden internals of aiokafka 0.14: ``_select_read_replica`` (whom to ask for a partition) and
    ``_get_actions_per_node`` (what to ask for next).
    """

    _split: Any = None
    """The assignment whose partitions ``_connections`` tells of."""
    _connections: dict[Any, int]

    def _get_actions_per_node(self, assignment: Any) -> Any:
        if assignment is not self._split:
            self._split = assignment
            self._connections = {tp: place % CONNECTIONS for place, tp in enumerate(sorted(assignment.tps))}
        requests, resets, *others = super()._get_actions_per_node(assignment)
        held_back = {self._select_read_replica(tp) for tp in self._records if tp in self._connections}
        for path, request in requests:
            if path in held_back:
                request._max_wait_ms = HELD_BACK_WAIT_MS
        # Where to begin is asked of the leader itself, and once.
        resets = {leader: tps for leader, tps in resets.items() if leader not in self._in_flight}
        return requests, resets, *others

    def _select_read_replica(self, tp: Any) -> Any:
        node_id = super()._select_read_replica(tp)
        return node_id if node_id is None or node_id < 0 else Path(node_id, self._connections[tp])


def fetch_on_paths(consumer: Any) -> None:
    """Let a consumer of aiokafka that has just been started fetch with `PathFetcher`."""
    consumer._client.__class__ = PathClient  # as in `receive_directly`
    consumer._fetcher.__class__ = PathFetcher
