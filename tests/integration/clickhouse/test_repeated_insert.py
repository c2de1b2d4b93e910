"""A repeated insert under the same token stores nothing twice, in any target of any signal."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Any

import pytest
from otlp_examples import ARRIVAL_NS, DAY_NS, TRACE_ID, gauges, logs, spans

from schemas.errors import StoreRejected, StoreUnavailable
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.raw_reads import stored_counts
from sinks.clickhouse.repeats import take_back
from topologies.storing import MOST_RECORDS

MADE = {"otel.traces": spans, "otel.logs": logs, "otel.metrics": gauges}
TABLES = {"otel.traces": "spans", "otel.logs": "logs", "otel.metrics": "metric_points"}
TARGETS = ("rejected_items", "landed_records")


def batch(topic: str, tenant: str, first: int = 0, records: int = 4, items: int = 3) -> list[RawRow]:
    """Return records of a topic; in each the last item of traces and logs is a bad one."""
    request: Any = MADE[topic](items)
    if topic == "otel.traces":
        request.resource_spans[0].scope_spans[0].spans[-1].trace_id = b"bad"
    if topic == "otel.logs":
        request.resource_logs[0].scope_logs[0].log_records[-1].trace_id = b"bad"
    if topic == "otel.metrics":
        request.resource_metrics[0].scope_metrics[0].metrics.add(name="sum").sum.data_points.add(as_int=1)
    value = request.SerializeToString()
    return [RawRow(tenant, 0, first + number, value, ARRIVAL_NS) for number in range(records)]


async def counts(clickhouse: ClickHouse, tenant: str, topic: str) -> dict[str, int]:
    """Return how many rows each target has of a tenant."""
    found = {}
    for table in (TABLES[topic], *TARGETS):
        rows = await clickhouse.query(
            f"SELECT count() AS n FROM {table} WHERE tenant = {{tenant:String}}", {"tenant": tenant}
        )
        found[table] = rows[0]["n"]
    return found


@pytest.mark.parametrize("topic", MADE)
async def test_the_same_token_stores_once(clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str) -> None:
    """Items, rejects and records alike; the trace lookup too."""
    for _ in range(3):
        await sink.insert(topic, batch(topic, tenant), token=f"{tenant}:0-3")
    stored = await counts(clickhouse, tenant, topic)
    items = 12 if topic == "otel.metrics" else 8
    assert stored == {TABLES[topic]: items, "rejected_items": 4, "landed_records": 4}
    times = await clickhouse.query("SELECT count() AS n FROM trace_times WHERE tenant = {t:String}", {"t": tenant})
    assert times == [{"n": 1 if topic == "otel.traces" else 0}]


@pytest.mark.parametrize("topic", MADE)
async def test_without_a_token_or_with_another_it_stores_again(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str
) -> None:
    """The negative control: it is the token that protects, and equal data under two tokens is two inserts."""
    await sink.insert(topic, batch(topic, tenant), token=f"{tenant}:a")
    await sink.insert(topic, batch(topic, tenant), token=f"{tenant}:b")
    assert (await counts(clickhouse, tenant, topic))["landed_records"] == 8
    assert [count.doubled for count in await stored_counts(clickhouse, tenant)] == [4]


async def test_an_insert_of_the_most_records_can_be_counted_and_taken_back(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """All their offsets, however high, have a place in one query."""
    rows = batch("otel.logs", tenant, first=10**12, records=MOST_RECORDS, items=1)
    await sink.insert("otel.logs", rows, token=f"{tenant}:most")
    assert await sink.is_whole("otel.logs", rows)
    await take_back(clickhouse, "otel.logs", rows)
    assert (await counts(clickhouse, tenant, "otel.logs"))["landed_records"] == 0


async def test_a_large_batch_is_recognised_as_a_whole(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """More items than fit one block of ClickHouse's pipeline."""
    rows = batch("otel.traces", tenant, records=40, items=5001)
    for _ in range(2):
        await sink.insert("otel.traces", rows, token=f"{tenant}:large")
    assert await counts(clickhouse, tenant, "otel.traces") == {
        "spans": 200_000, "rejected_items": 40, "landed_records": 40,
    }  # fmt: skip


async def test_a_refused_insert_does_not_use_its_token_up(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """What was refused whole can be stored later under the same token."""
    rows = batch("otel.traces", tenant)
    with pytest.raises(StoreRejected):
        await sink.insert("otel.traces", [*rows, RawRow(tenant, 0, 9, b"\x0a\xff", ARRIVAL_NS)], token=tenant)
    await sink.insert("otel.traces", rows, token=tenant)
    assert (await counts(clickhouse, tenant, "otel.traces"))["landed_records"] == 4


@pytest.mark.parametrize("topic", MADE)
async def test_insert_that_broke_off_is_completed_target_by_target(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str
) -> None:
    """The process or ClickHouse died when some targets had the rows: those that lack them get them, and no other."""
    await sink.insert(topic, batch(topic, tenant), token=f"{tenant}:0-3")
    whole = await counts(clickhouse, tenant, topic)
    for table in (TABLES[topic], *TARGETS):
        await clickhouse.command(f"TRUNCATE TABLE {table}")  # forgets the tokens, too
        assert (await counts(clickhouse, tenant, topic))[table] == 0
        await sink.insert(topic, batch(topic, tenant), token=f"{tenant}:0-3")
        assert await counts(clickhouse, tenant, topic) == whole


@pytest.mark.parametrize("topic", MADE)
async def test_rows_whose_token_alone_was_kept_are_missed_and_come_under_another(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str
) -> None:
    """ClickHouse notes the token before the part shows. If it dies between, only counting finds out."""
    rows = batch(topic, tenant, first=1000)
    await sink.insert(topic, rows, token=f"{tenant}:0")
    whole = await counts(clickhouse, tenant, topic)
    assert await sink.is_whole(topic, rows)
    for number, table in enumerate((TABLES[topic], *TARGETS)):
        await clickhouse.command(f"DELETE FROM {table} WHERE tenant = '{tenant}'")  # keeps the token
        await sink.insert(topic, rows, token=f"{tenant}:{number}")
        assert (await counts(clickhouse, tenant, topic))[table] == 0
        assert not await sink.is_whole(topic, rows)
        assert set((await counts(clickhouse, tenant, topic)).values()) == {0}
        await sink.insert(topic, rows, token=f"{tenant}:{number + 1}")
        assert await sink.is_whole(topic, rows)
        assert await counts(clickhouse, tenant, topic) == whole


async def test_trace_times_whose_token_alone_was_kept_are_made_again(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """They are made of the spans, and a second time changes nothing."""
    rows = batch("otel.traces", tenant, first=2000)
    await sink.insert("otel.traces", rows, token=tenant)
    of_tenant = "SELECT * FROM trace_times FINAL WHERE tenant = {t:String}"
    before = await clickhouse.query(of_tenant, {"t": tenant})
    await clickhouse.command(f"DELETE FROM trace_times WHERE tenant = '{tenant}'")
    for _ in range(2):
        assert await sink.is_whole("otel.traces", rows)
        assert await clickhouse.query(of_tenant, {"t": tenant}) == before


async def test_what_is_taken_back_late_leaves_rows_that_came_meanwhile(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """A worker that was stopped between counting and taking back knows parts of before only."""
    topic, rows = "otel.traces", batch("otel.traces", tenant, first=3000)
    await sink.insert(topic, rows, token=f"{tenant}:a")
    known = {
        table: [
            row["part"]
            for row in await clickhouse.query(f"SELECT _part AS part FROM {table} WHERE tenant = '{tenant}'")
        ]
        for table in (TABLES[topic], *TARGETS)
    }
    await take_back(clickhouse, topic, rows)
    await sink.insert(topic, rows, token=f"{tenant}:b")
    await take_back(clickhouse, topic, rows, known)
    assert await sink.is_whole(topic, rows)


async def test_rows_are_not_counted_while_an_insert_of_them_runs(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """What is half there is not missing: the count is put off."""
    rows = batch("otel.traces", tenant, first=4000, records=20, items=5001)
    token = f"otel.traces:0:4000-4019@{time.time_ns()}"
    insert = asyncio.create_task(sink.insert("otel.traces", rows, token=token))
    put_off = False
    while not insert.done():
        try:
            await sink.is_whole("otel.traces", rows[:1])
        except StoreUnavailable:
            put_off = True
            break
    await insert
    assert put_off
    assert await sink.is_whole("otel.traces", rows)


async def test_order_of_rows_and_several_partitions_are_the_same_insert(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """Rows of three Kafka partitions and of several days under one token: one insert, recognised in every part."""
    rows = [
        RawRow(tenant, partition, row.offset, row.value, ARRIVAL_NS - partition * DAY_NS)
        for partition in range(3)
        for row in batch("otel.traces", tenant, items=15_000)
    ]
    for _ in range(2):
        await sink.insert("otel.traces", rows, token=f"{tenant}:three")
    assert await counts(clickhouse, tenant, "otel.traces") == {
        "spans": 12 * 14_999, "rejected_items": 12, "landed_records": 12,
    }  # fmt: skip


async def test_what_a_failing_view_has_let_through_is_taken_back(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """A refused insert leaves nothing in any target, so its halves can come under tokens of their own."""
    await clickhouse.command("CREATE TABLE picky (n UInt8) ENGINE = Memory")
    await clickhouse.command(
        "CREATE MATERIALIZED VIEW picky_view TO picky AS SELECT toUInt8(if(kafka_offset = 2, 'x', '1')) AS n"
        " FROM landing_traces"
    )
    try:
        rows = batch("otel.traces", tenant)
        with pytest.raises(StoreRejected):
            await sink.insert("otel.traces", rows, token=tenant)
        assert set((await counts(clickhouse, tenant, "otel.traces")).values()) == {0}
        await sink.insert("otel.traces", rows[:2], token=f"{tenant}:first")
        assert (await counts(clickhouse, tenant, "otel.traces"))["landed_records"] == 2
    finally:
        await clickhouse.command("DROP VIEW picky_view")
        await clickhouse.command("DROP TABLE picky")


async def test_of_a_refused_insert_only_our_own_partitions_are_taken_back(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """The others' owners may have landed their rows anew by now, under tokens of their own."""
    ours = batch("otel.traces", tenant, first=5000)
    theirs = [replace(row, partition=1) for row in ours]
    await sink.insert("otel.traces", theirs, token=f"{tenant}:theirs")
    await clickhouse.command("CREATE TABLE picky (n UInt8) ENGINE = Memory")
    await clickhouse.command(
        "CREATE MATERIALIZED VIEW picky_view TO picky AS SELECT toUInt8(if(kafka_offset = 5002, 'x', '1')) AS n"
        " FROM landing_traces"
    )
    try:
        with pytest.raises(StoreRejected):
            await sink.insert("otel.traces", [*ours, *theirs], f"{tenant}:both", ours={0})
    finally:
        await clickhouse.command("DROP VIEW picky_view")
        await clickhouse.command("DROP TABLE picky")
    kept = await clickhouse.query(
        "SELECT DISTINCT kafka_partition AS number FROM landed_records WHERE tenant = {t:String}", {"t": tenant}
    )
    assert kept == [{"number": 1}]


async def test_stored_counts_name_partitions_and_items(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Records and items of each topic and partition, of one tenant only."""
    await sink.insert("otel.traces", batch("otel.traces", tenant, first=10))
    await sink.insert("otel.logs", batch("otel.logs", tenant, records=1))
    await sink.insert("otel.logs", batch("otel.logs", f"{tenant}-other", records=1))
    found = await stored_counts(clickhouse, tenant)
    assert [(c.topic, c.partition, c.records, c.items, c.first_offset, c.last_offset, c.doubled) for c in found] == [
        ("otel.logs", 0, 1, 3, 0, 0, 0),
        ("otel.traces", 0, 4, 12, 10, 13, 0),
    ]


async def test_an_insert_is_visible_at_once(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """No flush interval stands between an answered insert and a read."""
    await sink.insert("otel.traces", batch("otel.traces", tenant))
    rows = await clickhouse.query(
        "SELECT count() AS n FROM spans WHERE tenant = {t:String} AND trace_id = unhex({id:String})",
        {"t": tenant, "id": TRACE_ID.hex()},
    )
    assert rows == [{"n": 8}]
