"""A migrated database for each test of the PostgreSQL stores."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from schemas.settings import Settings
from sinks.postgres.migrate import migrate
from sinks.postgres.pool import Pool, open_pool


@pytest.fixture
async def empty_pool(settings: Settings) -> AsyncIterator[Pool]:
    """Give a pool on an empty database."""
    pool = await open_pool(settings)
    yield pool
    await pool.close()


@pytest.fixture
async def pool(empty_pool: Pool) -> Pool:
    """Give a pool on a migrated database."""
    await migrate(empty_pool)
    return empty_pool
