"""A consumer that receives in place, on real brokers."""

from __future__ import annotations

import asyncio
import os

from aiokafka import AIOKafkaConsumer, TopicPartition

from schemas.settings import Settings
from sinks.kafka import Producer, ensure_topics
from sinks.kafka.receiving import AnswerReader, receive_directly


async def test_all_connections_of_a_consumer_receive_in_place(broker: Settings) -> None:
    """Large records and small ones come as they were sent."""
    await ensure_topics(broker)
    where = TopicPartition("otel.traces", 0)
    sent = [os.urandom(700_000), b"", os.urandom(70), os.urandom(300_000)]
    async with Producer(broker) as producer:
        for value in sent:
            await producer.send(where.topic, value, partition=where.partition)
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.kafka_brokers, auto_offset_reset="earliest")
    receive_directly(consumer)
    async with consumer, asyncio.timeout(120):
        consumer.assign([where])
        assert [(await consumer.getone()).value for _ in sent] == sent
        readers = [connection._reader for connection in consumer._client._conns.values()]
        assert readers
        assert all(isinstance(reader, AnswerReader) for reader in readers)
