"""What is flattened by our own code is stored as SQL would have stored it, in every target, row by row."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from made_requests import ARRIVAL_NS, FLATTENERS, MAKERS
from mutating import mutations
from odd_messages import SOUND

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from streams.flat_columns import FLAT_TOPICS
from streams.kernels.compiled import IS_COMPILED
from topologies.recordings import Recording

pytestmark = pytest.mark.skipif(not IS_COMPILED, reason="without numba nothing is flattened")

PAYLOADS = int(os.environ.get("FUZZ_PAYLOADS", "3000"))
SEED = int(os.environ.get("FUZZ_SEED", "1"))
BATCH = 1000
MOST_BYTES = 4000
MOST_RECORDED = 300
SHOP = Path(__file__).parents[2] / "data" / "shop-delay"
TABLES = {"otel.traces": "spans", "otel.logs": "logs", "otel.metrics": "metric_points"}


async def stored(clickhouse: ClickHouse, table: str, tenant: str) -> list[Any]:
    """Return what identifies each row of a tenant in a target, and a hash of all of it."""
    places = {"trace_times": "hex(trace_id)", "landed_records": "kafka_offset"}
    rows = await clickhouse.query(
        f"SELECT {places.get(table, 'kafka_offset, item')}, cityHash64(* EXCEPT (tenant, stored_at)) AS contents"
        f" FROM {table} {'FINAL' if table == 'trace_times' else ''} WHERE tenant = {{t:String}} ORDER BY ALL",
        {"t": tenant},
    )
    return [tuple(row.values()) for row in rows]


async def assert_same(
    clickhouse: ClickHouse, sinks: Sequence[RawSink], topic: str, tenant: str, values: Sequence[bytes]
) -> None:
    """Land the values with each sink, and compare the targets."""
    tenants = [f"{tenant}-{number}" for number in range(len(sinks))]
    for name, sink in zip(tenants, sinks, strict=True):
        await sink.insert(topic, [RawRow(name, 1, offset, value, ARRIVAL_NS) for offset, value in enumerate(values)])
    for table in (TABLES[topic], "trace_times", "rejected_items", "landed_records"):
        flat, expected = [await stored(clickhouse, table, name) for name in tenants]
        odd = sorted(set(flat) ^ set(expected))
        assert not odd, f"{table}: {odd[:4]}"
        assert flat == expected
    assert expected


def flattened(topic: str, messages: Iterator[bytes], count: int) -> list[bytes]:
    """Return the next so many messages that are flattened."""
    found: list[bytes] = []
    while len(found) < count and (batch := list(islice(messages, BATCH))):
        found += [one for one, rows in zip(batch, FLATTENERS[topic].flatten(batch).rows, strict=True) if rows]
    return found


@pytest.mark.parametrize("topic", FLAT_TOPICS)
async def test_seeded_requests_are_stored_as_by_sql(
    clickhouse: ClickHouse, sink: RawSink, protobuf_sink: RawSink, tenant: str, topic: str
) -> None:
    """Every type of value, lengths about the limits, odd times, ids, keys: most are flattened, all are the same."""
    chance = random.Random(SEED)
    values = [*SOUND[topic].values(), *(MAKERS[topic](chance) for _ in range(1500))]
    assert (FLATTENERS[topic].flatten(values).rows > 0).mean() > 0.4
    await assert_same(clickhouse, (sink, protobuf_sink), topic, tenant, values)


@pytest.mark.parametrize("topic", FLAT_TOPICS)
async def test_of_mutated_payloads_what_is_flattened_is_stored_as_by_sql(
    clickhouse: ClickHouse, sink: RawSink, protobuf_sink: RawSink, tenant: str, topic: str
) -> None:
    """What SQL would refuse or read otherwise is left alone."""
    chance = random.Random(SEED)
    made = (one for one in (MAKERS[topic](chance) for _ in range(600)) if len(one) < MOST_BYTES)
    payloads = mutations(flattened(topic, made, 200), SEED, PAYLOADS)
    number = 0
    while values := flattened(topic, payloads, BATCH):
        await assert_same(clickhouse, (sink, protobuf_sink), topic, f"{tenant}-{number}", values)
        number += len(values)
    assert number > PAYLOADS // 10


@pytest.mark.parametrize("topic", FLAT_TOPICS)
async def test_a_recording_is_flattened_and_stored_as_by_sql(
    clickhouse: ClickHouse, sink: RawSink, protobuf_sink: RawSink, tenant: str, topic: str
) -> None:
    """Real telemetry of a shop: nearly all of it takes the fast way."""
    with Recording(SHOP) as recording:
        messages = [each.value for each in recording.messages() if f"otel.{each.signal}" == topic][:MOST_RECORDED]
    assert (FLATTENERS[topic].flatten(messages).rows > 0).mean() > 0.99
    await assert_same(clickhouse, (sink, protobuf_sink), topic, tenant, messages)
