"""What health remembers of services beyond their panes, as a table: their log templates.

A pane's lines find their templates by what was learned before, so this is written before the floor may pass what taught
it. It changes when a service writes a kind of line that it never wrote, which becomes rare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.keys import service_key
from schemas.topics import MEMORIES_TABLE
from topologies.app import StreamApp
from topologies.patience import insist
from topologies.tables import state_table


class MemoriesTable:
    """The memories of the health folds, co-partitioned with telemetry.rollups."""

    def __init__(self, app: StreamApp, partitions: int, most_bytes: int) -> None:
        self._table = state_table(app, MEMORIES_TABLE, partitions, most_bytes)

    def recall(self, tenant: str, service: str) -> bytes | None:
        """Return what was kept of a service."""
        return self._table.stored(service_key(tenant, service))

    async def keep(
        self, partition: int, memories: Sequence[tuple[str, str, bytes]], wanted: Callable[[], bool]
    ) -> None:
        """Write (tenant, service, memory) and wait until the broker has them. Raises `LaneEndedError`."""
        states = {service_key(tenant, service): memory for tenant, service, memory in memories}
        if states:
            await insist("kafka", "memories", lambda: self._table.save(partition, states), wanted)
