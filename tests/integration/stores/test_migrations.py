"""Migrations on a real PostgreSQL."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import SecretStr

from schemas.errors import SetupError, StoreError, StoreRejected, StoreUnavailable
from schemas.settings import Settings
from sinks.postgres.migrate import Migration, migrate, migration_state, migrations
from sinks.postgres.pool import Pool, open_pool, ping, translated

OURS = [migration.name for migration in migrations()]


async def test_an_empty_database_gets_everything_once(empty_pool: Pool) -> None:
    """The first run applies all files, the second none."""
    assert (await migration_state(empty_pool)).pending == OURS
    assert await migrate(empty_pool) == OURS
    assert await migrate(empty_pool) == []
    assert (await migration_state(empty_pool)).applied == OURS


async def test_two_workers_may_migrate_at_once(empty_pool: Pool) -> None:
    """The one that comes second waits, and finds nothing left to do."""
    applied = await asyncio.gather(*(migrate(empty_pool) for _ in range(4)))
    assert sorted(map(len, applied)) == [0, 0, 0, len(OURS)]


async def test_an_edited_migration_is_refused(empty_pool: Pool) -> None:
    """A file that was changed after it was applied stops the start and says which."""
    await migrate(empty_pool, [Migration(1, "0001_a.sql", "CREATE TABLE a (x int)")])
    with pytest.raises(SetupError, match=r"0001_a\.sql"):
        await migrate(empty_pool, [Migration(1, "0001_a.sql", "CREATE TABLE a (x bigint)")])


async def test_a_failing_migration_leaves_nothing_behind(empty_pool: Pool) -> None:
    """Files of one run are one transaction."""
    steps = [Migration(1, "0001_a.sql", "CREATE TABLE a (x int)"), Migration(2, "0002_b.sql", "CREATE TABLE a (x int)")]
    with pytest.raises(StoreRejected):
        await migrate(empty_pool, steps)
    assert await empty_pool.fetchval("SELECT to_regclass('a')") is None


async def test_a_newer_database_is_left_alone(pool: Pool) -> None:
    """After going back a release the worker still starts, and the state says what it does not know."""
    await pool.execute("INSERT INTO schema_migrations (version, name, sha256) VALUES (999, '0999_later.sql', '')")
    assert await migrate(pool) == []
    assert (await migration_state(pool)).unknown_versions == [999]


async def test_a_missing_extension_says_what_to_install(empty_pool: Pool) -> None:
    """A server without pgvector is a thing to set up, not a bug."""
    with pytest.raises(SetupError, match="pgvector"):
        await migrate(empty_pool, [Migration(1, "0001_a.sql", "CREATE EXTENSION no_such_extension")])


async def test_every_table_but_those_of_no_tenant_has_the_tenant_first_in_its_key(pool: Pool) -> None:
    """The first column of every primary key is the tenant."""
    rows = await pool.fetch(
        "SELECT c.relname AS table, a.attname AS first FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid"
        " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = i.indkey[0]"
        " WHERE i.indisprimary AND c.relnamespace = 'public'::regnamespace"
    )
    of_no_tenant = {row["table"] for row in rows if row["first"] != "tenant"}
    assert of_no_tenant == {"schema_migrations", "checkpoints"}
    assert len(rows) > len(of_no_tenant)


async def test_a_store_that_is_away_does_not_stop_the_start(settings: Settings) -> None:
    """Opening succeeds, using says: try later."""
    away = settings.model_copy(update={"postgres_dsn": SecretStr("postgresql://someone:secret@127.0.0.1:1/none")})
    pool = await open_pool(away)
    with pytest.raises(StoreUnavailable):
        await ping(pool)
    await pool.close()


@pytest.mark.parametrize(
    "dsn",
    [
        "",
        "postgresql://u:s3cret@host:port/db",
        "postgresql://u:s3cret@host/db?sslmode=s3cret",
        "mysql://u:s3cret@host/db",
    ],
)
async def test_a_senseless_dsn_is_refused_without_its_password(settings: Settings, dsn: str) -> None:
    """The message helps and keeps the secret."""
    with pytest.raises(SetupError) as refusal:
        await ping(await open_pool(settings.model_copy(update={"postgres_dsn": SecretStr(dsn)})))
    assert "s3cret" not in str(refusal.value)


@pytest.mark.parametrize(
    ("sql", "kind"),
    [
        ("SELECT no_such_column", StoreRejected),
        ("SELECT 1/0", StoreRejected),
        ("SELECT pg_terminate_backend(pg_backend_pid())", StoreUnavailable),
        ("SET TRANSACTION READ ONLY; CREATE TABLE x (y int)", StoreUnavailable),
        ("SET statement_timeout = 1; SELECT pg_sleep(5)", StoreUnavailable),
    ],
)
async def test_errors_say_whether_to_try_again(pool: Pool, sql: str, kind: type[StoreError]) -> None:
    """What the server may do later is told from what it never will."""
    with pytest.raises(kind), translated("testing"):
        await pool.execute(sql)
