"""An insert of flat rows and of records left to SQL is two under one token: stored whole, once, or found not to be."""

from __future__ import annotations

import pytest
from otlp_examples import ARRIVAL_NS, spans

from schemas.errors import StoreRejected
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from streams.kernels.compiled import IS_COMPILED

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="without numba nothing is flattened")

TOPIC = "otel.traces"
TARGETS = ("spans", "rejected_items", "landed_records")
WHOLE = {"spans": 3 * 3 + 3 * 2, "rejected_items": 3, "landed_records": 6}
NOTHING = dict.fromkeys(TARGETS, 0)


def batch(tenant: str) -> list[RawRow]:
    """Return six records at offsets of this tenant's own; every other one has a span that is rejected: left to SQL."""
    first = 1_000_000 + 100 * int(tenant.split("-")[1])
    sound, odd = spans(3), spans(3)
    odd.resource_spans[0].scope_spans[0].spans[-1].trace_id = b"bad"
    values = [sound.SerializeToString(), odd.SerializeToString()] * 3
    return [RawRow(tenant, 0, first + number, value, ARRIVAL_NS) for number, value in enumerate(values)]


async def counts(clickhouse: ClickHouse, tenant: str) -> dict[str, int]:
    """Return how many rows each target has of a tenant."""
    found = {}
    for table in TARGETS:
        [row] = await clickhouse.query(f"SELECT count() AS n FROM {table} WHERE tenant = {{t:String}}", {"t": tenant})
        found[table] = row["n"]
    return found


async def test_a_repeated_insert_changes_nothing_and_is_whole(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """Both halves know their tokens."""
    for _ in range(3):
        await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:0")
        assert await counts(clickhouse, tenant) == WHOLE
    assert await sink.is_whole(TOPIC, batch(tenant))


async def test_the_flat_rows_need_the_token_too(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """The negative control: under another token they are stored again."""
    for token in ("a", "b"):
        await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:{token}")
    assert (await counts(clickhouse, tenant))["spans"] == 2 * WHOLE["spans"]


async def test_death_between_the_two_inserts_is_made_good_by_the_next_attempt(
    clickhouse: ClickHouse, sink: RawSink, protobuf_sink: RawSink, tenant: str
) -> None:
    """The first insert, of what is left to SQL, was stored; the other never began."""
    await protobuf_sink.insert(TOPIC, batch(tenant)[1::2], token=f"{tenant}:0")
    await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:0")
    assert await counts(clickhouse, tenant) == WHOLE
    assert await sink.is_whole(TOPIC, batch(tenant))


@pytest.mark.parametrize("table", ["spans", "landed_records"])
async def test_flat_rows_whose_token_alone_was_kept_are_missed(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, table: str
) -> None:
    """ClickHouse died between the note of the token and the part: the count finds out, and takes all back."""
    await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:0")
    await clickhouse.command(f"DELETE FROM {table} WHERE tenant = '{tenant}' AND kafka_offset % 2 = 0")
    await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:0")
    assert not await sink.is_whole(TOPIC, batch(tenant))
    assert await counts(clickhouse, tenant) == NOTHING
    await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:1")
    assert await sink.is_whole(TOPIC, batch(tenant))
    assert await counts(clickhouse, tenant) == WHOLE


async def test_a_repetition_that_divides_the_records_otherwise_is_found_out(
    clickhouse: ClickHouse, sink: RawSink, protobuf_sink: RawSink, tenant: str
) -> None:
    """A version without flat rows died with this insert pending: what is there twice is taken back, and comes anew."""
    await protobuf_sink.insert(TOPIC, batch(tenant), token=f"{tenant}:0")
    await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:0")
    assert not await sink.is_whole(TOPIC, batch(tenant))
    assert await counts(clickhouse, tenant) == NOTHING
    await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:1")
    assert await counts(clickhouse, tenant) == WHOLE


async def test_a_refused_record_keeps_flat_rows_from_being_stored(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """What can be refused goes first, and the halves come under tokens of their own."""
    rows = [*batch(tenant), RawRow(tenant, 1, 6, b"\x0a\xff", ARRIVAL_NS)]
    with pytest.raises(StoreRejected):
        await sink.insert(TOPIC, rows, token=f"{tenant}:0")
    assert await counts(clickhouse, tenant) == NOTHING
    await sink.insert(TOPIC, rows[:6], token=f"{tenant}:1")
    assert await counts(clickhouse, tenant) == WHOLE


async def test_flat_rows_that_are_refused_take_the_whole_insert_back(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """Also what SQL had stored of it by then; only a fault of ours or a view of somebody else's can do that."""
    await clickhouse.command("CREATE TABLE choosy (n UInt8) ENGINE = Memory")
    await clickhouse.command(
        "CREATE MATERIALIZED VIEW choosy_view TO choosy AS SELECT toUInt8(if(kafka_offset % 100 = 2, 'x', '1')) AS n"
        " FROM flat_spans"
    )
    try:
        with pytest.raises(StoreRejected):
            await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:0")
        assert await counts(clickhouse, tenant) == NOTHING
    finally:
        await clickhouse.command("DROP VIEW choosy_view")
        await clickhouse.command("DROP TABLE choosy")
    await sink.insert(TOPIC, batch(tenant), token=f"{tenant}:1")
    assert await counts(clickhouse, tenant) == WHOLE
