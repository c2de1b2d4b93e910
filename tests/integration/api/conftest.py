"""The real application over the real embedded stores, one for the session; every test gets tenants of its own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest
import uvicorn
from api_caller import Caller, Served
from pydantic import SecretStr

from api.app import create_app
from api.connections import protocol_of
from schemas.settings import Settings
from sinks.clickhouse import migrate as clickhouse_migrations
from sinks.kafka import ensure_topics
from sinks.postgres import migrate as postgres_migrations
from sinks.stores import open_stores
from topologies.product import Server

TENANTS = 400
numbers = itertools.count()


@pytest.fixture(scope="session")
async def served(stack: Settings) -> AsyncIterator[Served]:
    """Run the application over the session's stack."""
    keys = ",".join(f"key-of-t{number}:t{number}" for number in range(TENANTS))
    settings = stack.model_copy(update={"api_keys": SecretStr(keys)})
    await ensure_topics(settings)
    async with AsyncExitStack() as closing:
        stores = await closing.enter_async_context(open_stores(settings))
        await postgres_migrations.migrate(stores.postgres)
        await clickhouse_migrations.migrate(stores.clickhouse, settings)
        app = create_app(settings, stores)
        await closing.enter_async_context(app.router.lifespan_context(app))
        yield Served(app, settings, stores)


@pytest.fixture(scope="session")
async def base_url(served: Served) -> AsyncIterator[str]:
    """Serve the application over real HTTP."""
    http: Any = protocol_of(served.settings)
    options = uvicorn.Config(served.app, http=http, port=0, lifespan="off", log_config=None, access_log=False)
    server = Server(options)
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
        await asyncio.sleep(0.01)
    yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    server.should_exit = True
    await running


async def _caller(served: Served) -> AsyncIterator[Caller]:
    tenant = f"t{next(numbers)}"
    async with served.client(tenant) as client:
        yield Caller(tenant, client, served.stores, served.settings)


@pytest.fixture
async def acme(served: Served) -> AsyncIterator[Caller]:
    """Give a tenant nobody else has."""
    async for caller in _caller(served):
        yield caller


@pytest.fixture
async def other(served: Served) -> AsyncIterator[Caller]:
    """Give another tenant."""
    async for caller in _caller(served):
        yield caller
