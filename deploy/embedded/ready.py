"""How to tell that an embedded server is ready: one probe each, which raises until it is."""

from __future__ import annotations

import asyncio

import asyncpg
from redis.asyncio import Redis
from redis.exceptions import RedisError

DATABASE = "incidentscope"

NOT_YET = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError, RedisError)
"""What a probe raises while its server is not ready."""


async def answers(port: int) -> None:
    """Connect to a loopback port."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()


async def postgres_has_our_database(address: str) -> None:
    """Connect to PostgreSQL and make sure that our database exists."""
    connection = await asyncpg.connect(f"{address}/postgres", timeout=5)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()


async def valkey_answers(url: str) -> None:
    """Log in to Valkey."""
    async with Redis.from_url(url) as client:
        await client.ping()
