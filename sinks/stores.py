"""The open clients of all stores, as one value to hand around.

::

    async with open_stores(settings) as stores:
        await stores.producer.send(...)

No client needs its store to be there at the start: each connects when it is used, the producer as soon as a
broker answers. Clients are bound to the event loop that opened them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from schemas.errors import StoreUnavailable
from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse
from sinks.kafka.producer import Producer
from sinks.postgres.pool import Pool, open_pool
from sinks.redis import Client, open_redis

START_PAUSE_S: Final = 1.0
"""Between two tries to reach a broker that was away at the start."""

CLOSE_PATIENCE_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Stores:
    """Clients of ClickHouse, PostgreSQL, Redis and Kafka."""

    clickhouse: ClickHouse
    postgres: Pool
    redis: Client
    producer: Producer


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[Stores]:
    """Open all clients, and close them at the end. Raises `SetupError` for an address that is missing or senseless."""
    async with AsyncExitStack() as closing:
        postgres = await open_pool(settings)
        closing.push_async_callback(_close_pool, postgres)
        redis = open_redis(settings)
        closing.push_async_callback(redis.aclose)
        clickhouse = ClickHouse(settings.clickhouse_dsn.get_secret_value())
        closing.push_async_callback(clickhouse.close)
        producer = Producer(settings)
        closing.push_async_callback(producer.stop)
        starting = await _started(producer)
        if starting is not None:
            closing.push_async_callback(_given_up, starting)
        yield Stores(clickhouse, postgres, redis, producer)


async def _close_pool(pool: Pool) -> None:
    """Close once statements have ended; one that does not end is cut off."""
    try:
        await asyncio.wait_for(pool.close(), CLOSE_PATIENCE_S)
    except TimeoutError:
        pool.terminate()


async def _started(producer: Producer) -> asyncio.Task[None] | None:
    """Connect the producer, or return the task that goes on trying."""
    try:
        await producer.start()
    except StoreUnavailable:
        return asyncio.create_task(_keep_starting(producer), name="start-producer")
    return None


async def _keep_starting(producer: Producer) -> None:
    while True:
        await asyncio.sleep(START_PAUSE_S)
        with suppress(StoreUnavailable):
            await producer.start()
            return


async def _given_up(task: asyncio.Task[None]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
