"""A worker that dies at every step between Kafka and ClickHouse: each item is stored exactly once."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from children import as_environment
from fleet import Fleet
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from pydantic import SecretStr

from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import DEAD_LETTERS, LOGS, METRICS, RAW_TOPICS, TRACES
from sinks.kafka.ends import end_offsets, read_end_offsets
from sinks.kafka.producer import Message, Producer
from sinks.kafka.topics import ensure_topics
from sinks.postgres.pool import open_pool

HERE = Path(__file__).parent
PARTITIONS = 3
RECORDS_A_LIFE = 4
DEATHS = (
    "insert.after",  # stored, and nobody knows
    "recovery.before",  # read again, not stored again
    "durable.before",
    "pending.after:2",
    "insert.rejected:2",  # between the halves of a refused insert
    "letters.after",
)
DEATHS_ON = {"own_broker": len(DEATHS), "own_kafka": 3}
"""How many of them on each broker: the protocol is the same, reading again is not."""
POISONED = (4, 5)
"""The lives that find a record which ClickHouse refuses."""
HEADERS = ((TENANT_HEADER, b"acme"),)


def request(topic: str, number: int, time_ns: int) -> bytes:
    """Return a request of two good items and one bad one."""
    if topic == LOGS.name:
        logs = ExportLogsServiceRequest()
        records = logs.resource_logs.add().scope_logs.add().log_records
        for item in range(3):
            record = records.add(time_unix_nano=time_ns, trace_id=b"" if item else b"bad")
            record.body.string_value = f"{number}/{item}"
        return logs.SerializeToString()
    if topic == METRICS.name:
        points = ExportMetricsServiceRequest()
        metrics = points.resource_metrics.add().scope_metrics.add().metrics
        metrics.add(name="good").gauge.data_points.add(time_unix_nano=time_ns, as_int=number)
        metrics.add(name="also").gauge.data_points.add(time_unix_nano=time_ns, as_double=0.5)
        metrics.add(name="no temporality").sum.data_points.add(time_unix_nano=time_ns, as_int=1)
        return points.SerializeToString()
    traces = ExportTraceServiceRequest()
    spans = traces.resource_spans.add().scope_spans.add().spans
    for item in range(3):
        trace_id = (number * 3 + item + 1).to_bytes(16, "big") if item else b"bad"
        span = spans.add(trace_id=trace_id, span_id=b"01234567", name="GET /", kind=2)
        span.start_time_unix_nano, span.end_time_unix_nano = time_ns - 1_000_000, time_ns
    return traces.SerializeToString()


def poison() -> bytes:
    """Return a request that protobuf's rules allow and ClickHouse refuses: a uint32 that is too large for one."""
    span = b"\x0a\x10" + b"t" * 16 + b"\x12\x08" + b"s" * 8 + b"\x50\x80\x80\x80\x80\x80\x20"
    for tag in (b"\x12", b"\x12", b"\x0a"):
        span = tag + bytes([len(span)]) + span
    return span


async def send(settings: Settings, life: int) -> None:
    """Send what one life of the worker finds: all three signals, every partition."""
    messages = []
    for number in range(RECORDS_A_LIFE):
        for topic in RAW_TOPICS:
            for partition in range(PARTITIONS):
                place = (life * RECORDS_A_LIFE + number) * PARTITIONS + partition
                value = request(topic.name, place, time.time_ns())
                messages.append(Message(topic.name, value, None, HEADERS, partition))
    if life in POISONED:
        messages.insert(len(messages) // 2, Message(TRACES.name, poison(), None, HEADERS, life % PARTITIONS))
    async with Producer(settings) as producer:
        await producer.send_many(messages)


async def ends_of(settings: Settings) -> dict[tuple[str, int], int]:
    """Return where the raw partitions end (there are ticks among the records)."""
    places = [TopicPartition(topic.name, partition) for topic in RAW_TOPICS for partition in range(PARTITIONS)]
    return {(*place,): end for place, end in (await read_end_offsets(settings, places)).items()}


async def until_durable(settings: Settings, ends: dict[tuple[str, int], int]) -> None:
    """Wait until the checkpoints say that everything before ``ends`` is stored or dead-lettered."""
    pool = await open_pool(settings, max_connections=1)
    try:
        async with asyncio.timeout(300):
            while True:
                rows = await pool.fetch("SELECT topic, kafka_partition, durable_offset FROM checkpoints")
                durable = {(row["topic"], row["kafka_partition"]): row["durable_offset"] for row in rows}
                if all(durable.get(place, -1) >= end - 1 for place, end in ends.items()):
                    return
                await asyncio.sleep(0.2)
    finally:
        await pool.close()


async def stored(settings: Settings) -> dict[str, dict[str, int]]:
    """Read what the last worker has left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(HERE / "rows_child.py"), env=as_environment(settings), stdout=asyncio.subprocess.PIPE
    )
    answer, _ = await process.communicate()
    found: dict[str, dict[str, int]] = json.loads(answer)
    return found


async def letters(settings: Settings) -> set[bytes | None]:
    """Return the different keys on topic dead-letters that are of whole messages."""
    places = [TopicPartition(DEAD_LETTERS.name, partition) for partition in range(PARTITIONS)]
    found: list[Any] = []
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest") as consumer:
        ends = await end_offsets(consumer, places)
        consumer.assign(places)
        while any([await consumer.position(place) < ends[place] for place in places]):
            for records in (await consumer.getmany(timeout_ms=500)).values():
                found += records
    return {record.key for record in found if record.key.endswith(b":-1")}


@pytest.mark.timeout(1200)
async def test_worker_that_dies_at_every_step_stores_each_item_exactly_once(
    broker: Settings, request: pytest.FixtureRequest, fleet: Fleet, tmp_path: Path
) -> None:
    """Six deaths; then spans, logs, points, rejects, records and the trace lookup are counted."""
    settings = broker.model_copy(
        update={
            "partitions": PARTITIONS,
            "data_dir": tmp_path,
            "clickhouse_dsn": SecretStr(f"chdb://{tmp_path}/clickhouse"),
            "flush_interval_s": 0.2,
            "insert_wait_s": 0.2,
            "session_timeout_s": 6.0,
            "batch_records": 16,
        }
    )
    await ensure_topics(settings)
    deaths = DEATHS[: DEATHS_ON[request.node.callspec.params["broker"]]]
    for life, death in enumerate(deaths):
        await send(settings, life)
        doomed = await fleet.start(settings, failpoint=death)
        assert await doomed.until_ended() == -signal.SIGKILL, f"{death} was not reached: {doomed.tail()}"
    await send(settings, len(deaths))
    ends = await ends_of(settings)
    last = await fleet.start(settings)
    await until_durable(settings, ends)
    await last.kill()
    records = (len(deaths) + 1) * RECORDS_A_LIFE * PARTITIONS
    expected = {
        "spans": 2 * records,
        "logs": 2 * records,
        "metric_points": 2 * records,
        "trace_times": 2 * records,
        "rejected_items": 3 * records,
        "landed_records": 3 * records,
    }
    found = await stored(settings)
    assert found == {table: {"stored": rows, "different": rows} for table, rows in expected.items()}
    assert len(await letters(settings)) == sum(life < len(deaths) for life in POISONED)
