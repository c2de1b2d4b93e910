"""Each topic's codec, in the bytes that a broker gets."""

from __future__ import annotations

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.record.default_records import DefaultRecordBatch
from aiokafka.record.memory_records import MemoryRecords

from schemas.topics import ROLLUPS, STUBS, TRACES
from sinks.kafka.compressing import USUAL_CODEC, compress_by_topic

ZSTD, SNAPPY = DefaultRecordBatch.CODEC_ZSTD, DefaultRecordBatch.CODEC_SNAPPY


@pytest.mark.parametrize(("topic", "codec"), [(STUBS, SNAPPY), (ROLLUPS, ZSTD), (TRACES, ZSTD)])
async def test_stubs_have_a_codec_of_their_own(topic: object, codec: int) -> None:
    """One producer, records of two topics in turn: what is in them can be read again."""
    producer = AIOKafkaProducer(compression_type=USUAL_CODEC)
    compress_by_topic(producer)
    accumulator, values = producer._message_accumulator, [b"a value, " * 100, b"another"]
    for name in (TRACES.name, topic.name, STUBS.name, topic.name):  # type: ignore[attr-defined]
        for value in values:
            await accumulator.add_message(TopicPartition(name, 0), None, value, 1.0)
    batches = accumulator._batches[TopicPartition(topic.name, 0)]  # type: ignore[attr-defined]
    found = MemoryRecords(bytes(batches[0].get_data_buffer())).next_batch()
    assert found is not None
    assert found.compression_type == codec
    assert [record.value for record in found][:2] == values
    for lot in accumulator._batches.values():
        for batch in lot:
            batch.failure(ConnectionError("nothing is sent here"))
    await producer.stop()
