"""Migrations bring a database up once, can be called again, and set how long rows are kept."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator

import pytest
from otlp_examples import ARRIVAL_NS, TRACE_ID, spans

from schemas.errors import SetupError, StoreUnavailable
from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse, ClickHouseRejected
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.migrate import migrate, migrations, pending
from sinks.clickhouse.raw_reads import trace

numbers = itertools.count(1)


@pytest.fixture
async def empty(stack: Settings) -> AsyncIterator[ClickHouse]:
    """Open a database without tables."""
    name, dsn = f"migrations_{next(numbers)}", stack.clickhouse_dsn.get_secret_value()
    admin = await ClickHouse.open(dsn, connections=1)
    await admin.command(f"CREATE DATABASE {name}")
    database = await ClickHouse.open(f"{dsn}?database={name}", connections=2)
    yield database
    await database.close()
    await admin.command(f"DROP DATABASE {name}")
    await admin.close()


async def test_a_second_time_there_is_nothing_to_do(empty: ClickHouse, stack: Settings) -> None:
    """All files in order, then none; what lacks is named before."""
    names = [migration.name for migration in migrations()]
    assert await pending(empty) == names
    assert await migrate(empty, stack) == names
    assert await migrate(empty, stack) == []
    assert await pending(empty) == []


async def test_a_half_applied_file_is_finished(empty: ClickHouse, stack: Settings) -> None:
    """A crash after some statements: the next call goes on, and the data of the first tables is kept."""
    await migrate(empty, stack)
    await RawSink(empty).insert("otel.traces", [RawRow("t", 0, 0, spans().SerializeToString(), ARRIVAL_NS)])
    await empty.command("TRUNCATE TABLE schema_migrations")
    await empty.command("DROP TABLE landing_spans_to_spans")
    assert await migrate(empty, stack) == [migration.name for migration in migrations()]
    await RawSink(empty).insert("otel.traces", [RawRow("t", 0, 1, spans(2).SerializeToString(), ARRIVAL_NS)])
    found = await trace(empty, "t", TRACE_ID.hex())
    assert found is not None
    assert len(found.spans) == 2


async def test_a_changed_file_is_refused(empty: ClickHouse, stack: Settings) -> None:
    """Nobody could tell what the tables look like."""
    await migrate(empty, stack)
    await empty.command("TRUNCATE TABLE schema_migrations")
    await empty.insert_rows("schema_migrations", ["number", "name", "checksum"], [[3, "0003_traces.sql", "other"]])
    with pytest.raises(SetupError, match=r"0003_traces\.sql is not the file"):
        await migrate(empty, stack)


async def test_retention_follows_the_settings(empty: ClickHouse, stack: Settings) -> None:
    """On the first and on any later call; every table that keeps rows has a TTL."""
    await migrate(empty, stack)
    changed = stack.model_copy(update={"raw_retention_days": 3, "pane_retention_hours": 5, "minute_retention_days": 7})
    await migrate(empty, changed)
    rows = await empty.query(
        "SELECT name, extract(create_table_query, 'TTL stored_at \\\\+ (\\\\w+\\\\(\\\\d+\\\\))') AS kept"
        " FROM system.tables WHERE database = currentDatabase() AND engine LIKE '%MergeTree'"
    )
    kept = {row["name"]: row["kept"] for row in rows if row["name"] != "schema_migrations"}
    raw = ("spans", "trace_times", "logs", "metric_points", "rejected_items", "landed_records", "offset_accounts")
    panes = ("service_panes", "operation_panes", "edge_panes", "signature_panes", "pane_revisions")
    minutes = ("service_minutes", "operation_minutes", "edge_minutes")
    assert kept == dict.fromkeys(raw, "toIntervalDay(3)") | dict.fromkeys(panes, "toIntervalHour(5)") | dict.fromkeys(
        minutes, "toIntervalDay(7)"
    )


async def test_a_database_without_tables_says_what_to_do(empty: ClickHouse) -> None:
    """Landing there is a set-up error with a remedy, not bad input."""
    with pytest.raises(SetupError, match="incidentscope migrate"):
        await RawSink(empty).insert("otel.traces", [RawRow("t", 0, 0, b"", ARRIVAL_NS)])


async def test_a_server_that_is_away_is_unavailable() -> None:
    """A refused connection can be tried again; a wrong statement cannot."""
    with pytest.raises(StoreUnavailable):
        await ClickHouse.open("clickhouse://127.0.0.1:1/default")


async def test_a_wrong_statement_is_rejected_with_its_code(clickhouse: ClickHouse) -> None:
    """Syntax errors and missing tables are ours."""
    with pytest.raises(ClickHouseRejected) as caught:
        await clickhouse.query("SELECT * FROM no_such_table")
    assert caught.value.code == 60
    with pytest.raises(StoreUnavailable):
        await clickhouse.query("SELECT sum(number) FROM numbers(1e12) SETTINGS max_execution_time = 0.05")
