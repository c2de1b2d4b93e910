"""How the tests of the API call it: an application, a tenant's client, and what a topic holds of a tenant."""

from __future__ import annotations

from dataclasses import dataclass

import httpx
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from fastapi import FastAPI

from schemas.settings import Settings
from sinks.kafka.ends import end_offsets
from sinks.stores import Stores


@dataclass(frozen=True)
class Served:
    """A running application."""

    app: FastAPI
    settings: Settings
    stores: Stores

    def client(self, tenant: str) -> httpx.AsyncClient:
        """Return a client with the tenant's key."""
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer key-of-{tenant}"}
        return httpx.AsyncClient(transport=transport, base_url="http://api", headers=headers)


@dataclass(frozen=True)
class Caller:
    """A tenant, and a client with its key."""

    tenant: str
    http: httpx.AsyncClient
    stores: Stores
    settings: Settings

    async def get(self, path: str, **parameters: str | int | list[str]) -> httpx.Response:
        """Ask below /api/v1."""
        return await self.http.get(f"/api/v1{path}", params=parameters)


async def records_of(caller: Caller, topic: str) -> list[ConsumerRecord]:
    """Return the records of a topic that carry the caller's tenant."""
    async with AIOKafkaConsumer(
        bootstrap_servers=caller.settings.kafka_brokers, auto_offset_reset="earliest"
    ) as consumer:
        partitions = [TopicPartition(topic, number) for number in range(caller.settings.partitions)]
        ends = await end_offsets(consumer, partitions)
        consumer.assign(partitions)
        found: list[ConsumerRecord] = []
        while any([await consumer.position(partition) < ends[partition] for partition in partitions]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found.extend(records)
    tenant = ("x-tenant-id", caller.tenant.encode())
    return [record for record in found if tenant in record.headers]
