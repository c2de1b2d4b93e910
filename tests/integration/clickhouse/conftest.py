"""A migrated ClickHouse database for the session, and a tenant of its own for each test in it."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from made_requests import FLATTENERS

from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawSink
from sinks.clickhouse.migrate import migrate

numbers = itertools.count(1)


@pytest.fixture(scope="session")
async def clickhouse(stack: Settings) -> AsyncIterator[ClickHouse]:
    """Open a database of this folder's tests in the session's engine, with all migrations applied."""
    dsn = stack.clickhouse_dsn.get_secret_value()
    admin = await ClickHouse.open(dsn, connections=1)
    await admin.command("CREATE DATABASE sinks_clickhouse")
    opened = await ClickHouse.open(f"{dsn}?database=sinks_clickhouse")
    await migrate(opened, stack)
    yield opened
    await opened.close()
    await admin.command("DROP DATABASE sinks_clickhouse")
    await admin.close()


@pytest.fixture
def sink(clickhouse: ClickHouse) -> RawSink:
    """Land into the session's database, as a worker does."""
    return RawSink(clickhouse, {topic: flattener.flatten for topic, flattener in FLATTENERS.items()})


@pytest.fixture
def protobuf_sink(clickhouse: ClickHouse) -> RawSink:
    """Land into the session's database, everything by SQL."""
    return RawSink(clickhouse)


@pytest.fixture
def tenant() -> str:
    """Name a tenant that no other test uses."""
    return f"tenant-{next(numbers)}"
