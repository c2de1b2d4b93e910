"""Who was there lately: the services and nodes that get an explicit empty pane when they fall silent.

Nothing in the log that is still read after a restart tells of a service that stopped sending, so this one fact
is kept in a table. It is written when it has become a minute older, not with every pane.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgpack
import structlog

from schemas.health import NodeKind
from schemas.keys import service_key
from schemas.topics import NODES_TABLE
from streams.health import KnownNode
from topologies.app import StreamApp
from topologies.patience import insist
from topologies.tables import state_table

log = structlog.get_logger()

KEEP_STEP_NS = 60_000_000_000


KEEP_PACE_S = 30.0

KeptNodes = dict[bytes, int]
"""Last sight (ns) of each node as it was written, by table key."""


class NodesTable:
    """The known nodes of the health folds, by partition of telemetry.rollups."""

    def __init__(self, app: StreamApp, partitions: int) -> None:
        self._table = state_table(app, NODES_TABLE, partitions)

    def load(self, partition: int) -> list[KnownNode]:
        """Return the nodes that were last known in ``partition``."""
        return [node for owner, node in map(_unpack, list(self._table.values())) if owner == partition]

    async def keep(
        self, partition: int, known: Iterable[KnownNode], kept: KeptNodes, wanted: Callable[[], bool]
    ) -> None:
        """Write the nodes whose last sight has moved on by a minute, delete those not known any more.

        ``kept`` is the caller's memory of what was written. Raises `LaneEndedError`.
        """
        news: dict[bytes, bytes | None] = {}
        present: KeptNodes = {}
        for node in known:
            key = service_key(node.tenant, node.service)
            present[key] = kept.get(key, 0)
            if node.last_seen_ns - present[key] >= KEEP_STEP_NS:
                present[key] = node.last_seen_ns
                news[key] = _pack(partition, node)
        news.update(dict.fromkeys(kept.keys() - present.keys()))
        if news:
            await insist("kafka", "nodes", lambda: self._table.save(partition, news), wanted)
        kept.clear()
        kept.update(present)


def _pack(partition: int, node: KnownNode) -> bytes:
    return bytes(
        msgpack.packb(
            [partition, node.tenant, node.service, node.node_kind.value, node.last_seen_ns, node.first_seen_ns]
        )
    )


def _unpack(value: bytes) -> tuple[int, KnownNode]:
    partition, tenant, service, node_kind, last_seen_ns, first_seen_ns = msgpack.unpackb(value)
    return partition, KnownNode(tenant, service, NodeKind(node_kind), last_seen_ns, first_seen_ns)
