"""An insert of flat rows and of records left to SQL is two under one token: stored whole, once, or found not to be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from made_requests import FLATTENERS
from otlp_examples import ARRIVAL_NS, gauges, spans

from schemas.errors import StoreRejected
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.flat import FLAT_TABLES, Flat
from sinks.clickhouse.landing import RawRow, RawSink
from streams.kernels.compiled import IS_COMPILED

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="without numba nothing is flattened")

TABLES = {"otel.traces": "spans", "otel.metrics": "metric_points"}
WHOLE = {"items": 3 * 3 + 3 * 2, "rejected_items": 3, "landed_records": 6}
NOTHING = dict.fromkeys(WHOLE, 0)


@pytest.fixture(params=TABLES)
def topic(request: pytest.FixtureRequest) -> str:
    """Name a topic whose items can be rejected."""
    return str(request.param)


def sound_and_odd(topic: str) -> tuple[bytes, bytes]:
    """Return a message of three items that is flattened, and one that is not, since an item is rejected."""
    if topic == "otel.traces":
        sound, odd = spans(3), spans(3)
        odd.resource_spans[0].scope_spans[0].spans[-1].trace_id = b"bad"
        return sound.SerializeToString(), odd.SerializeToString()
    points = gauges(2)
    points.resource_metrics[0].scope_metrics[0].metrics.add(name="sum").sum.data_points.add(as_int=1)
    return gauges(3).SerializeToString(), points.SerializeToString()


def batch(tenant: str, topic: str) -> list[RawRow]:
    """Return six records at offsets of this tenant's own; every other one has an item that is rejected."""
    first = 1_000_000 + 100 * int(tenant.split("-")[1])
    values = [*sound_and_odd(topic)] * 3
    return [RawRow(tenant, 0, first + number, value, ARRIVAL_NS) for number, value in enumerate(values)]


async def counts(clickhouse: ClickHouse, tenant: str, topic: str) -> dict[str, int]:
    """Return how many rows each target has of a tenant."""
    found = {}
    for target in WHOLE:
        table = TABLES[topic] if target == "items" else target
        [row] = await clickhouse.query(f"SELECT count() AS n FROM {table} WHERE tenant = {{t:String}}", {"t": tenant})
        found[target] = row["n"]
    return found


async def test_a_repeated_insert_changes_nothing_and_is_whole(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str
) -> None:
    """Both halves know their tokens."""
    for _ in range(3):
        await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:0")
        assert await counts(clickhouse, tenant, topic) == WHOLE
    assert await sink.is_whole(topic, batch(tenant, topic))


async def test_the_flat_rows_need_the_token_too(clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str) -> None:
    """The negative control: under another token they are stored again."""
    for token in ("a", "b"):
        await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:{token}")
    assert (await counts(clickhouse, tenant, topic))["items"] == 2 * WHOLE["items"]


async def test_death_between_the_two_inserts_is_made_good_by_the_next_attempt(
    clickhouse: ClickHouse, sink: RawSink, protobuf_sink: RawSink, tenant: str, topic: str
) -> None:
    """The first insert, of what is left to SQL, was stored; the other never began."""
    await protobuf_sink.insert(topic, batch(tenant, topic)[1::2], token=f"{tenant}:0")
    await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:0")
    assert await counts(clickhouse, tenant, topic) == WHOLE
    assert await sink.is_whole(topic, batch(tenant, topic))


@pytest.mark.parametrize("target", ["items", "landed_records"])
async def test_flat_rows_whose_token_alone_was_kept_are_missed(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str, target: str
) -> None:
    """ClickHouse died between the note of the token and the part: the count finds out, and takes all back."""
    await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:0")
    table = TABLES[topic] if target == "items" else target
    await clickhouse.command(f"DELETE FROM {table} WHERE tenant = '{tenant}' AND kafka_offset % 2 = 0")
    await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:0")
    assert not await sink.is_whole(topic, batch(tenant, topic))
    assert await counts(clickhouse, tenant, topic) == NOTHING
    await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:1")
    assert await sink.is_whole(topic, batch(tenant, topic))
    assert await counts(clickhouse, tenant, topic) == WHOLE


async def test_a_repetition_that_divides_the_records_otherwise_is_found_out(
    clickhouse: ClickHouse, sink: RawSink, protobuf_sink: RawSink, tenant: str, topic: str
) -> None:
    """A version without flat rows died with this insert pending: what is there twice is taken back, and comes anew."""
    await protobuf_sink.insert(topic, batch(tenant, topic), token=f"{tenant}:0")
    await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:0")
    assert not await sink.is_whole(topic, batch(tenant, topic))
    assert await counts(clickhouse, tenant, topic) == NOTHING
    await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:1")
    assert await counts(clickhouse, tenant, topic) == WHOLE


async def test_a_refused_record_keeps_flat_rows_from_being_stored(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str
) -> None:
    """What can be refused goes first, and the halves come under tokens of their own."""
    rows = [*batch(tenant, topic), RawRow(tenant, 1, 6, b"\x0a\xff", ARRIVAL_NS)]
    with pytest.raises(StoreRejected):
        await sink.insert(topic, rows, token=f"{tenant}:0")
    assert await counts(clickhouse, tenant, topic) == NOTHING
    await sink.insert(topic, rows[:6], token=f"{tenant}:1")
    assert await counts(clickhouse, tenant, topic) == WHOLE


async def test_flat_rows_that_are_refused_take_the_whole_insert_back(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, topic: str
) -> None:
    """Also what SQL had stored of it by then; only a fault of ours or a view of somebody else's can do that."""
    await clickhouse.command("CREATE TABLE choosy (n UInt8) ENGINE = Memory")
    await clickhouse.command(
        "CREATE MATERIALIZED VIEW choosy_view TO choosy AS SELECT toUInt8(if(kafka_offset % 100 = 2, 'x', '1')) AS n"
        f" FROM {FLAT_TABLES[topic]}"
    )
    try:
        with pytest.raises(StoreRejected):
            await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:0")
        assert await counts(clickhouse, tenant, topic) == NOTHING
    finally:
        await clickhouse.command("DROP VIEW choosy_view")
        await clickhouse.command("DROP TABLE choosy")
    await sink.insert(topic, batch(tenant, topic), token=f"{tenant}:1")
    assert await counts(clickhouse, tenant, topic) == WHOLE


async def test_rows_that_were_prepared_are_flattened_once_and_others_are_not_taken_for_them(
    clickhouse: ClickHouse, tenant: str
) -> None:
    """What is stored is what was inserted, whatever was prepared."""
    flattened: list[int] = []

    def flatten(messages: Sequence[bytes]) -> Flat:
        flattened.append(len(messages))
        return FLATTENERS["otel.traces"].flatten(messages)

    sink, rows = RawSink(clickhouse, {"otel.traces": flatten}), batch(tenant, "otel.traces")
    sink.prepare("otel.traces", rows)
    await sink.insert("otel.traces", rows, token=f"{tenant}:0")
    assert flattened == [6]
    assert await counts(clickhouse, tenant, "otel.traces") == WHOLE
    one = [replace(rows[0], offset=rows[0].offset + 50)]
    sink.prepare("otel.traces", rows)
    await sink.insert("otel.traces", one, token=f"{tenant}:1")
    sink.prepare("otel.traces", [rows[1]])
    await sink.insert("otel.traces", [replace(one[0], offset=one[0].offset + 1)], token=f"{tenant}:2")
    assert sorted(flattened) == [1, 1, 1, 6, 6]
    assert (await counts(clickhouse, tenant, "otel.traces"))["items"] == WHOLE["items"] + 3 + 3
