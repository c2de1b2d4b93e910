"""What must be there before the first record: settings that can work, topics on the broker, tables in the stores."""

from __future__ import annotations

from schemas.settings import Settings
from sinks.api_keys import tenants_by_key
from sinks.clickhouse import migrate as clickhouse_migrations
from sinks.clickhouse.client import ClickHouse
from sinks.kafka.topics import TopicState, ensure_topics
from sinks.postgres import migrate as postgres_migrations
from sinks.postgres.pool import open_pool
from sinks.webhook import Webhook


def check_settings(settings: Settings) -> None:
    """Raise `SetupError` for settings that cannot work, before anything is started for them."""
    if settings.api_keys.get_secret_value().strip():
        tenants_by_key(settings)
    Webhook.from_settings(settings)


async def prepare(settings: Settings) -> None:
    """Create what is missing: topics, ClickHouse and PostgreSQL tables. Raises `SetupError`, `StoreError`."""
    await topics(settings)
    await migrate_clickhouse(settings)
    await migrate_postgres(settings)


async def topics(settings: Settings) -> list[TopicState]:
    """Create the topics that are missing and return all of them."""
    return await ensure_topics(settings)


async def migrate_clickhouse(settings: Settings) -> list[str]:
    """Apply what the ClickHouse database lacks; return the names of the files applied now."""
    clickhouse = await ClickHouse.open(settings.clickhouse_dsn.get_secret_value(), connections=1)
    try:
        return await clickhouse_migrations.migrate(clickhouse, settings)
    finally:
        await clickhouse.close()


async def migrate_postgres(settings: Settings) -> list[str]:
    """Apply what the PostgreSQL database lacks; return the names of the files applied now."""
    pool = await open_pool(settings, max_connections=1)
    try:
        return await postgres_migrations.migrate(pool)
    finally:
        await pool.close()
