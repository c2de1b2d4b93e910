"""Batches that are bombs, on real brokers, read again as a pending insert would be."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer

from schemas.checkpoints import OffsetRange
from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.kafka import ensure_topics
from sinks.kafka.ranges import read_ranges
from sinks.kafka.unpacking import MOST_BATCH_BYTES, RefusedBatch


@pytest.mark.parametrize("codec", ["gzip", "snappy", "lz4", "zstd"])
async def test_a_bomb_is_passed_over_by_name_and_what_is_beside_it_is_read(broker: Settings, codec: str) -> None:
    """A broker takes it: packed it is small."""
    await ensure_topics(broker)
    values = [b"before", bytes(MOST_BATCH_BYTES), b"after"]
    producer = AIOKafkaProducer(
        bootstrap_servers=broker.kafka_brokers, compression_type=codec, max_request_size=1 << 28
    )
    async with producer:
        sent = [await producer.send_and_wait(TRACES.name, value, partition=0) for value in values]
    (found,) = await read_ranges(broker, TRACES.name, [OffsetRange(0, sent[0].offset, sent[2].offset)])
    assert [one.offset for one in found] == [one.offset for one in sent]
    assert [one.value for one in found] == [b"before", b"", b"after"]
    assert isinstance(found[1].value, RefusedBatch)
