"""Databases of one's own on the session's embedded stack."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import clickhouse_connect
from pydantic import SecretStr
from redis.asyncio import Redis

from schemas.settings import Settings

REDIS_DATABASES = 16

numbers = itertools.count(1)


@asynccontextmanager
async def own_stores(stack: Settings, data_dir: Path) -> AsyncIterator[Settings]:
    """Give settings with empty databases, a new consumer group and this data folder, on the stack's broker."""
    number = next(numbers)
    name = f"test_{number}"
    redis_url = f"{stack.redis_url.get_secret_value().rpartition('/')[0]}/{number % REDIS_DATABASES}"
    async with Redis.from_url(redis_url) as redis:
        await redis.flushdb()
    await asyncio.to_thread(_clickhouse, stack, f"CREATE DATABASE {name}")
    await _postgres(stack, f"CREATE DATABASE {name}")
    yield stack.model_copy(
        update={
            "data_dir": data_dir,
            "consumer_group": name,
            "redis_url": SecretStr(redis_url),
            "postgres_dsn": SecretStr(_with_path(stack.postgres_dsn, name)),
            "clickhouse_dsn": SecretStr(f"{stack.clickhouse_dsn.get_secret_value()}?database={name}"),
        }
    )
    await asyncio.to_thread(_clickhouse, stack, f"DROP DATABASE {name}")
    await _postgres(stack, f"DROP DATABASE {name} WITH (FORCE)")


def _clickhouse(stack: Settings, statement: str) -> None:
    client = clickhouse_connect.get_client(dsn=stack.clickhouse_dsn.get_secret_value())
    try:
        client.command(statement)
    finally:
        client.close()


async def _postgres(stack: Settings, statement: str) -> None:
    connection = await asyncpg.connect(stack.postgres_dsn.get_secret_value())
    try:
        await connection.execute(statement)
    finally:
        await connection.close()


def _with_path(dsn: SecretStr, database: str) -> str:
    return f"{dsn.get_secret_value().rpartition('/')[0]}/{database}"
