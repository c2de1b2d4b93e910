"""Ranges of offsets read again: exactly these records, or those of them that are left."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.structs import TopicPartition

from schemas.checkpoints import OffsetRange
from schemas.keys import TENANT_HEADER
from schemas.settings import Settings
from schemas.topics import METRICS, RAW_TOPICS
from sinks.kafka.log_ends import reading_logs
from sinks.kafka.producer import Message, Producer
from sinks.kafka.ranges import read_ends, read_ranges
from sinks.kafka.reading import read_record
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


async def test_the_end_of_a_log_is_the_end_of_its_last_batch(broker: Settings) -> None:
    """Also where the broker lists the second record of that batch as the end, its last one can be read."""
    await ensure_topics(broker, RAW_TOPICS)
    async with AIOKafkaProducer(bootstrap_servers=broker.kafka_brokers) as producer:
        for _ in range(2):
            batch = producer.create_batch()
            for number in range(5):
                batch.append(key=None, value=b"%d" % number, timestamp=None)
            await (await producer.send_batch(batch, METRICS.name, partition=1))
    assert await read_ends(broker, METRICS.name, [0, 1]) == {0: 0, 1: 10}
    [found] = await read_ranges(broker, METRICS.name, [OffsetRange(1, 7, 9)])
    assert [record.value for record in found] == [b"2", b"3", b"4"]
    assert (await read_record(broker, METRICS.name, 1, 9)).value == b"4"
    async with reading_logs(broker) as logs:
        assert [log.end for log in await logs.ends([METRICS.name])][:2] == [0, 10]


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
