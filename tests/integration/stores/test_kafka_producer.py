"""Confirmed sending on real brokers."""

from __future__ import annotations

import asyncio
import os

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from resending import sent

from schemas.errors import BadPayload, RejectReason, StoreRejected, StoreUnavailable
from schemas.settings import Settings
from schemas.topics import DEPLOYS, TRACES
from sinks.kafka import Message, Producer, ensure_topics
from sinks.kafka.producer import RECORD_OVERHEAD_BYTES

LARGEST = TRACES.max_message_bytes - RECORD_OVERHEAD_BYTES


async def read(settings: Settings, topic: str, partition: int, count: int) -> list[object]:
    """Read the first ``count`` records of a partition."""
    where = TopicPartition(topic, partition)
    found: list[object] = []
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest") as consumer:
        consumer.assign([where])
        async with asyncio.timeout(120):
            while len(found) < count:
                found += (await consumer.getmany(where, timeout_ms=1000)).get(where, [])
    return found


async def test_a_sent_record_is_there_as_it_was_sent(broker: Settings) -> None:
    """Value, key, headers (a name may come twice), partition and offset."""
    await ensure_topics(broker)
    headers = [("x-tenant-id", b"acme"), ("x", b"1"), ("x", b"\xff")]
    async with Producer(broker) as producer:
        ack = await producer.send("otel.traces", b"value", key=b"key", headers=headers, partition=2)
        empty = await producer.send("otel.traces", b"", headers={"x-incidentscope-tick": b"1"}, partition=2)
        gone = await producer.send("otel.traces", None, key=b"key", partition=2)
    assert [(one.topic, one.partition, one.offset) for one in (ack, empty, gone)] == [
        ("otel.traces", 2, 0),
        ("otel.traces", 2, 1),
        ("otel.traces", 2, 2),
    ]
    first, second, third = await read(broker, "otel.traces", 2, 3)
    assert (first.value, first.key, list(first.headers)) == (b"value", b"key", headers)  # type: ignore[attr-defined]
    assert (second.value, list(second.headers)) == (b"", [("x-incidentscope-tick", b"1")])  # type: ignore[attr-defined]
    assert (third.value, third.key) == (None, b"key")  # type: ignore[attr-defined]


async def test_many_are_sent_in_order_and_each_is_confirmed(broker: Settings) -> None:
    """Records of one partition keep their order, and each acknowledgement names its offset."""
    await ensure_topics(broker)
    values = [b"%d" % number + os.urandom(3000) for number in range(400)]
    async with Producer(broker) as producer:
        acks = await producer.send_many(Message("otel.logs", value, partition=1) for value in values)
    assert [ack.offset for ack in acks] == list(range(400))
    assert [record.value for record in await read(broker, "otel.logs", 1, 400)] == values  # type: ignore[attr-defined]


async def test_one_of_many_that_is_refused_keeps_none_back(broker: Settings) -> None:
    """The refusal is told once the fate of all is known: those beside it are written, of each partition."""
    await ensure_topics(broker)
    messages = [Message("otel.logs", b"%d" % number, partition=number % 2) for number in range(20)]
    messages[7] = Message("otel.logs", bytes(50_000_000), partition=1)
    async with Producer(broker) as producer:
        with pytest.raises(BadPayload) as refusal:
            await producer.send_many(messages)
    assert refusal.value.reason is RejectReason.TOO_LARGE
    for partition, count in ((0, 10), (1, 9)):
        found = await read(broker, "otel.logs", partition, count)
        assert [record.value for record in found] == [  # type: ignore[attr-defined]
            message.value for n, message in enumerate(messages) if n != 7 and message.partition == partition
        ]


async def test_one_key_is_one_partition(broker: Settings) -> None:
    """Keyed records meet where the table of that key is."""
    await ensure_topics(broker)
    async with Producer(broker) as producer:
        acks = await producer.send_many(Message("health", b"", key=b"acme|%d" % (number % 7)) for number in range(70))
    partitions = [{ack.partition for ack in acks[key::7]} for key in range(7)]
    assert all(len(found) == 1 for found in partitions)


async def test_a_record_may_be_as_large_as_its_topic_says_and_no_larger(broker: Settings) -> None:
    """The largest is stored, one byte more is refused by name, and the producer goes on."""
    await ensure_topics(broker)
    async with Producer(broker) as producer:
        assert (await producer.send("otel.traces", os.urandom(LARGEST), partition=0)).offset == 0
        for topic, size_bytes in (("otel.traces", LARGEST + 1), ("health", 1_048_576), ("otel.traces", 50_000_000)):
            with pytest.raises(BadPayload) as refusal:
                await producer.send(topic, bytes(size_bytes), partition=0)
            assert refusal.value.reason is RejectReason.TOO_LARGE
        assert (await producer.send("otel.traces", b"next", partition=0)).offset == 1


async def test_a_partition_that_does_not_exist_is_our_bug(broker: Settings) -> None:
    """It is refused at once and harms nothing else."""
    await ensure_topics(broker)
    async with Producer(broker) as producer:
        with pytest.raises(StoreRejected, match="partition 99"):
            await producer.send("otel.traces", b"", partition=99)
        assert (await producer.send("otel.traces", b"", partition=0)).offset == 0


async def test_no_broker_is_for_later_and_does_not_hang() -> None:
    """Neither start nor stop waits for what is not there; sending before a start says so."""
    producer = Producer(Settings(kafka_brokers="127.0.0.1:1", _env_file=None))
    with pytest.raises(StoreUnavailable):
        await producer.start()
    with pytest.raises(StoreUnavailable):
        await producer.send("otel.traces", b"")
    await producer.stop()


@pytest.mark.kafka
async def test_a_broker_that_can_makes_retries_harmless(own_kafka: Settings) -> None:
    """Apache Kafka gives a producer id."""
    async with Producer(own_kafka) as producer:
        assert producer.idempotent


@pytest.mark.kafka
async def test_a_missing_topic_is_for_later_and_leaves_the_producer_sound(own_kafka: Settings) -> None:
    """Sending fails within the delivery time-out, and works once the topic is there."""
    async with Producer(own_kafka, delivery_timeout_s=1.0) as producer:
        with pytest.raises(StoreUnavailable):
            await producer.send("deploys.events", b"x")
        await ensure_topics(own_kafka)
        assert (await sent(producer, "deploys.events", b"y", partition=0)).partition == 0


@pytest.mark.kafka
async def test_a_record_that_the_broker_refuses_does_not_poison_the_partition(own_kafka: Settings) -> None:
    """After a refusal an idempotent producer's sequence has a gap; later records must get through all the same."""
    admin = AIOKafkaAdminClient(bootstrap_servers=own_kafka.kafka_brokers)
    await admin.start()
    await admin.create_topics([NewTopic(DEPLOYS.name, 1, 1, topic_configs={"max.message.bytes": "2000"})])
    async with Producer(own_kafka) as producer:
        assert (await producer.send("deploys.events", b"before")).offset == 0
        with pytest.raises(BadPayload):
            await producer.send("deploys.events", os.urandom(10_000))
        assert (await producer.send("deploys.events", b"after")).offset == 1
        assert (await producer.send("deploys.events", b"and on")).offset == 2
    await admin.close()
