"""A good request of each signal in a real ClickHouse: taken both ways and taken back; a broken schema refuses it."""

from __future__ import annotations

import pytest

from schemas.dead_letters import UNKNOWN_TENANT
from schemas.errors import StoreRejected
from schemas.topics import LOGS, METRICS, TRACES
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import SIGNALS, RawRow, RawSink
from sinks.clickhouse.repeats import SHARED_TARGETS, TARGETS
from streams.otlp import Signal
from streams.otlp.specimen import specimen

AT_NS = 1_790_000_000_000_000_000


def rows_of(topic: str) -> list[RawRow]:
    """Return the specimens of a topic's signal as rows; the second is the plain one."""
    signal = Signal(SIGNALS[topic])
    payloads = [specimen(signal, AT_NS, is_plain=is_plain) for is_plain in (False, True)]
    return [RawRow(UNKNOWN_TENANT, 7, offset, payload, AT_NS) for offset, payload in enumerate(payloads)]


@pytest.mark.parametrize("topic", [TRACES.name, LOGS.name, METRICS.name])
async def test_a_specimen_is_taken_both_ways_and_nothing_of_it_stays(
    clickhouse: ClickHouse, sink: RawSink, topic: str
) -> None:
    """Also the second time."""
    flat = await sink._flattened(topic, rows_of(topic))
    assert flat is not None
    assert [bool(count) for count in flat.rows] == [False, True]
    for _ in range(2):
        await sink.try_out(topic, rows_of(topic))
    for table in (TARGETS[topic], *SHARED_TARGETS):
        count = await clickhouse.command(f"SELECT count() FROM {table} WHERE tenant = '{UNKNOWN_TENANT}'")
        assert (table, int(count)) == (table, 0)


async def test_a_schema_that_refuses_everything_refuses_the_specimen(clickhouse: ClickHouse, sink: RawSink) -> None:
    """A view that cannot convert, as a migration that went wrong leaves it."""
    await clickhouse.command(
        "CREATE MATERIALIZED VIEW broken ENGINE = MergeTree ORDER BY n"
        " AS SELECT toUInt32(CAST(name AS String)) AS n FROM spans"
    )
    try:
        with pytest.raises(StoreRejected):
            await sink.try_out(TRACES.name, rows_of(TRACES.name))
    finally:
        await clickhouse.command("DROP TABLE broken")
    await sink.try_out(TRACES.name, rows_of(TRACES.name))
