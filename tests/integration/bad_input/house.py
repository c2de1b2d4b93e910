"""A tenant's view of a running worker: send records, and see what became of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from live_worker import eventually

from schemas.keys import TENANT_HEADER
from schemas.queries import Trace
from schemas.settings import Settings
from sinks.clickhouse import raw_reads
from sinks.kafka.producer import Message
from sinks.postgres import dead_letters
from sinks.postgres.dead_letters import LetterFilter, StoredLetter
from sinks.stores import Stores
from topologies.worker import Worker

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class House:
    """A worker, its stores, and whose records are sent."""

    tenant: str
    settings: Settings
    stores: Stores
    worker: Worker

    def of_tenant(self, tenant: str) -> House:
        """Return the same house for another tenant."""
        return replace(self, tenant=tenant)

    async def send(
        self, topic: str, *values: bytes | None, headers: Any = None, key: bytes = b"k", partition: int = 0
    ) -> None:
        """Send records of the tenant, or with these headers; with a key, since a null value needs one."""
        pairs = [(TENANT_HEADER, self.tenant.encode())] if headers is None else headers
        await self.stores.producer.send_many([Message(topic, value, key, pairs, partition) for value in values])

    async def letters(self, count: int) -> list[StoredLetter]:
        """Wait until the tenant has so many letters, and return them in the order of their records."""

        async def number() -> int:
            return len(await self.letters_now())

        await eventually(number, count)
        return await self.letters_now()

    async def letters_now(self) -> list[StoredLetter]:
        """Return the tenant's letters in the order of their records."""
        found = await dead_letters.page(self.stores.postgres, LetterFilter(self.tenant), limit=200)
        return sorted(found, key=lambda stored: (stored.letter.topic, stored.letter.offset, stored.letter.item))

    async def reasons(self, count: int) -> list[str]:
        """Wait for so many letters and return their reasons."""
        return [stored.letter.reason.value for stored in await self.letters(count)]

    async def rows(
        self, table: str, count: int, columns: str = "*", order: str = "kafka_offset, item", where: str = "true"
    ) -> Rows:
        """Wait until a table has so many rows of the tenant (that meet a condition), and return them."""
        where = f"WHERE tenant = '{self.tenant}' AND ({where})"

        async def number() -> int:
            return int(await self.stores.clickhouse.command(f"SELECT count() FROM {table} {where}"))

        await eventually(number, count)
        return await self.stores.clickhouse.query(f"SELECT {columns} FROM {table} {where} ORDER BY {order}")

    async def trace(self, trace_id: str) -> Trace:
        """Wait until a trace can be found by its id, which is noted just after its spans, and return it."""

        async def is_found() -> int:
            return await raw_reads.trace(self.stores.clickhouse, self.tenant, trace_id) is not None

        await eventually(is_found, True)
        found = await raw_reads.trace(self.stores.clickhouse, self.tenant, trace_id)
        assert found is not None
        return found
