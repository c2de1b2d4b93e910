"""Traces are read by tenant and id, whatever stands in the question."""

from __future__ import annotations

import re

import pytest
from otlp_examples import ARRIVAL_NS, DAY_NS, TRACE_ID, logs, spans

from schemas.errors import StoreRejected, StoreUnavailable
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.raw_reads import TRACE_LOGS, stored_counts, trace, trace_logs


async def land(sink: RawSink, tenant: str, count: int = 1, trace_id: bytes = TRACE_ID, offset: int = 0) -> None:
    """Land one record of spans."""
    value = spans(count, trace_id=trace_id).SerializeToString()
    await sink.insert("otel.traces", [RawRow(tenant, 0, offset, value, ARRIVAL_NS)])


async def test_another_tenants_trace_is_not_there(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """The same trace id in two tenants is two traces."""
    await land(sink, tenant, 2)
    await land(sink, f"{tenant}-other", 5)
    mine = await trace(clickhouse, tenant, TRACE_ID.hex())
    assert mine is not None
    assert len(mine.spans) == 2
    assert await trace(clickhouse, f"{tenant}-nobody", TRACE_ID.hex()) is None


@pytest.mark.parametrize("hostile", ["' OR 1=1 --", "\\' OR ''='", "{tenant:String}", "%", ""])
async def test_a_hostile_tenant_or_id_finds_nothing(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, hostile: str
) -> None:
    """Values are bound, never written into the statement."""
    await land(sink, tenant)
    assert await trace(clickhouse, hostile, TRACE_ID.hex()) is None
    assert await trace(clickhouse, tenant, hostile) is None
    assert (await trace_logs(clickhouse, hostile, TRACE_ID.hex())).lines == []
    if hostile:
        assert await stored_counts(clickhouse, hostile) == []


async def test_spans_come_by_start_and_a_long_trace_is_cut(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """The first spans, and the word that there are more."""
    await land(sink, tenant, 5)
    found = await trace(clickhouse, tenant, TRACE_ID.hex().upper(), limit=3)
    assert found is not None
    assert [span.name for span in found.spans] == ["GET /5", "GET /4", "GET /3"]
    assert (found.truncated, found.trace_id) == (True, TRACE_ID.hex())
    whole = await trace(clickhouse, tenant, TRACE_ID.hex(), limit=5)
    assert whole is not None
    assert (len(whole.spans), whole.truncated) == (5, False)


async def test_an_answer_is_bounded_in_bytes_however_few_bytes_brought_it(
    clickhouse: ClickHouse, sink: RawSink, tenant: str
) -> None:
    """A resource of 40 kB is stored with each of 50 spans, and of 50 log records."""
    traces, lines = spans(50), logs(50)
    for request in (traces.resource_spans[0].resource, lines.resource_logs[0].resource):
        for number in range(20):
            request.attributes.add(key=f"k{number}").value.string_value = "v" * 2_000
    for record in lines.resource_logs[0].scope_logs[0].log_records:
        record.trace_id = TRACE_ID
    await sink.insert("otel.traces", [RawRow(tenant, 0, 0, traces.SerializeToString(), ARRIVAL_NS)])
    await sink.insert("otel.logs", [RawRow(tenant, 0, 0, lines.SerializeToString(), ARRIVAL_NS)])
    for most_bytes, count in ((1, 1), (100_000, 3), (400_000, 10), (1 << 24, 50)):
        found = await trace(clickhouse, tenant, TRACE_ID.hex(), most_bytes=most_bytes)
        told = await trace_logs(clickhouse, tenant, TRACE_ID.hex(), most_bytes=most_bytes)
        assert found is not None
        assert (len(found.spans), found.truncated) == (count, count < 50)
        assert (len(told.lines), told.truncated) == (count, count < 50)


async def test_a_span_from_two_exporters_is_shown_once(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Two records hold it; both are stored, one is shown."""
    await land(sink, tenant, 2)
    await land(sink, tenant, 2, offset=1)
    found = await trace(clickhouse, tenant, TRACE_ID.hex())
    assert found is not None
    assert len(found.spans) == 2


async def test_a_trace_over_midnight_is_whole(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Its spans lie in two day partitions and came in two records."""
    early, late = spans(1), spans(2)
    del late.resource_spans[0].scope_spans[0].spans[0]
    early.resource_spans[0].scope_spans[0].spans[0].start_time_unix_nano = ARRIVAL_NS - DAY_NS + 1
    rows = [
        RawRow(tenant, 0, offset, request.SerializeToString(), ARRIVAL_NS)
        for offset, request in enumerate((early, late))
    ]
    await sink.insert("otel.traces", rows[:1])
    await sink.insert("otel.traces", rows[1:])
    found = await trace(clickhouse, tenant, TRACE_ID.hex())
    assert found is not None
    assert len(found.spans) == 2


async def test_what_takes_too_long_is_given_up_where_it_is_worth_one_try(clickhouse: ClickHouse) -> None:
    """Other statements are repeated: the store may only be busy."""
    slow = "SELECT sleepEachRow(0.5) FROM numbers(20) SETTINGS max_execution_time = 1, max_block_size = 1"
    with pytest.raises(StoreRejected):
        await clickhouse.ask(slow)
    with pytest.raises(StoreUnavailable):
        await clickhouse.query(slow)


async def test_the_logs_of_a_trace_are_found_by_its_index_also_when_nobody_knows_the_trace(
    clickhouse: ClickHouse, tenant: str
) -> None:
    """Without spans no time bounds the search; of logs of other traces hardly a granule is read all the same."""
    await clickhouse.command(
        "INSERT INTO logs (tenant, service, time, trace_id, body, arrival_time) SELECT {t:String}, 'cart',"
        " toDateTime64('2026-11-20 00:00:00', 9, 'UTC') + toIntervalMillisecond(number),"
        " sipHash128(intDiv(number, 10)), 'done', now() FROM numbers(200000)",
        {"t": tenant},
    )
    [known] = await clickhouse.query("SELECT lower(hex(sipHash128(toUInt64(7)))) AS trace_id")
    for trace_id, lines in ((known["trace_id"], 10), ("ab" * 16, 0)):
        assert len((await trace_logs(clickhouse, tenant, trace_id)).lines) == lines
        read, there_are = await granules(clickhouse, tenant, trace_id)
        assert there_are >= 24
        assert read <= 2, "one in a thousand granules has a filter that errs"


async def granules(clickhouse: ClickHouse, tenant: str, trace_id: str) -> tuple[int, int]:
    """Return how many granules of logs are read for those of a trace, and how many the key leaves."""
    parameters = {"tenant": tenant, "trace_id": trace_id, "limit": 201, "most_bytes": 1 << 24}
    lines = [
        str(next(iter(row.values()))) for row in await clickhouse.query(f"EXPLAIN indexes = 1 {TRACE_LOGS}", parameters)
    ]
    counts = [line.split(":")[-1].split("/") for line in lines if re.search(r"^\W*Granules: \d+/\d+", line)]
    return int(counts[-1][0]), int(counts[-1][1])
