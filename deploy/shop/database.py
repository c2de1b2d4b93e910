"""The shop's database: made beside the one it is given, and kept locked by a maintenance job while a fault wants it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib.resources import files
from urllib.parse import urlsplit

import asyncpg

DATABASE = "shop"
LOCKED_S = 0.5
OPEN_S = 0.05
"""Time between two locks: those who wait get their turn."""


async def create_database(postgres_dsn: str) -> None:
    """Create the shop's own database beside the one of ``postgres_dsn``, with its tables and goods."""
    server = await asyncpg.connect(postgres_dsn)
    try:
        if not await server.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await server.execute(f"CREATE DATABASE {DATABASE}")
    finally:
        await server.close()
    connection = await asyncpg.connect(shop_dsn(postgres_dsn))
    try:
        await connection.execute(files("deploy.shop").joinpath("schema.sql").read_text())
    finally:
        await connection.close()


def shop_dsn(postgres_dsn: str) -> str:
    """Return the address of the shop's database on the server of ``postgres_dsn``."""
    return urlsplit(postgres_dsn)._replace(path=f"/{DATABASE}").geturl()


async def keep_locking(postgres_dsn: str, tables: Sequence[str]) -> None:
    """Lock ``tables`` against reading and writing again and again, until cancelled.

    So runs a job that rebuilds a table in small steps; every statement on it waits in the database.
    """
    connection = await asyncpg.connect(shop_dsn(postgres_dsn))
    try:
        while True:
            async with connection.transaction():
                await connection.execute(f"LOCK TABLE {', '.join(tables)} IN ACCESS EXCLUSIVE MODE")
                await asyncio.sleep(LOCKED_S)
            await asyncio.sleep(OPEN_S)
    finally:
        connection.terminate()
