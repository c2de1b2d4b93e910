"""Ranges of offsets read again: exactly these records, or those of them that are left."""

from __future__ import annotations

import pytest
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from schemas.checkpoints import OffsetRange
from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import METRICS, RAW_TOPICS
from sinks.kafka.producer import Message, Producer
from sinks.kafka.ranges import read_ends, read_ranges
from sinks.kafka.topics import ensure_topics
from topologies.parcels import record_of

HEADERS = ((TENANT_HEADER, b"acme"),)


async def fill(settings: Settings, records: int) -> None:
    """Send numbered records into two partitions."""
    await ensure_topics(settings, RAW_TOPICS)
    async with Producer(settings) as producer:
        for number in range(records):
            await producer.send_many([Message(METRICS.name, b"%d/%d" % (n, number), None, HEADERS, n) for n in (0, 1)])


async def test_ranges_come_back_as_they_were(broker: Settings) -> None:
    """In the order of the ranges, ascending, with headers; what lies beyond the end is not waited for."""
    await fill(broker, 30)
    ranges = [OffsetRange(1, 7, 12), OffsetRange(0, 28, 40)]
    found = await read_ranges(broker, METRICS.name, ranges)
    records = [[record_of(record) for record in each] for each in found]
    assert [[record.value for record in each] for each in records] == [
        [b"1/%d" % number for number in range(7, 13)],
        [b"0/28", b"0/29"],
    ]
    assert {record.headers for each in records for record in each} == {HEADERS}
    assert all(record.timestamp_ns > 0 for each in records for record in each)
    assert await read_ends(broker, METRICS.name, [0, 1]) == {0: 30, 1: 30}


@pytest.mark.kafka
async def test_records_that_retention_has_eaten_are_missing(own_kafka: Settings) -> None:
    """A range that begins below the log's start begins at its start."""
    await fill(own_kafka, 20)
    admin = AIOKafkaAdminClient(bootstrap_servers=own_kafka.kafka_brokers)
    await admin.start()
    try:
        await admin.delete_records({TopicPartition(METRICS.name, 0): RecordsToDelete(before_offset=10)})
    finally:
        await admin.close()
    [found] = await read_ranges(own_kafka, METRICS.name, [OffsetRange(0, 5, 12)])
    assert [record.offset for record in found] == [10, 11, 12]
    assert await read_ranges(own_kafka, METRICS.name, [OffsetRange(0, 1, 3)]) == [[]]
