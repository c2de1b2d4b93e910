"""A consumer with two fetches under way, on real brokers."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.protocol.fetch import FetchRequest

from schemas.settings import Settings
from sinks.kafka import Producer, ensure_topics
from sinks.kafka.fetching import CONNECTIONS, HELD_BACK_WAIT_MS, PathClient, fetch_on_paths
from sinks.kafka.receiving import receive_directly

TOPIC = "otel.traces"


class ToldClient(PathClient):
    """Notes whether fetches were asked for that must not wait for long, and others."""

    prompt: asyncio.Event
    patient: asyncio.Event

    async def send(self, node_id: Any, request: Any, **options: Any) -> Any:
        """Send a request and return its answer."""
        if isinstance(request, FetchRequest):
            (self.prompt if request._max_wait_ms == HELD_BACK_WAIT_MS else self.patient).set()
        return await super().send(node_id, request, **options)


@asynccontextmanager
async def consuming(broker: Settings, partitions: list[TopicPartition]) -> AsyncIterator[Any]:
    """Start a consumer of partitions from their beginning on."""
    consumer = AIOKafkaConsumer(bootstrap_servers=broker.kafka_brokers, auto_offset_reset="earliest")
    receive_directly(consumer)
    async with consumer, asyncio.timeout(120):
        fetch_on_paths(consumer)
        consumer._client.__class__ = ToldClient
        consumer._client.prompt, consumer._client.patient = asyncio.Event(), asyncio.Event()
        consumer.assign(partitions)
        yield consumer


async def written(broker: Settings, partitions: list[TopicPartition], count: int) -> dict[TopicPartition, list[bytes]]:
    """Send records to each partition; return them."""
    await ensure_topics(broker)
    sent = {where: [os.urandom(40_000) for _ in range(count)] for where in partitions}
    async with Producer(broker) as producer:
        for where, values in sent.items():
            for value in values:
                await producer.send(where.topic, value, partition=where.partition)
    return sent


async def test_records_of_all_partitions_come_in_order_over_all_connections(broker: Settings) -> None:
    """Each partition has its connection; one more is there for what is no fetch."""
    partitions = [TopicPartition(TOPIC, number) for number in range(broker.partitions)]
    sent = await written(broker, partitions, 40)
    async with consuming(broker, partitions) as consumer:
        found: dict[TopicPartition, list[bytes]] = {where: [] for where in partitions}
        while sum(map(len, found.values())) < 40 * len(partitions):
            record = await consumer.getone()
            found[TopicPartition(record.topic, record.partition)].append(record.value)
        fetching = {group for _, group in consumer._client._conns if group != 1}
    assert {where: values[-40:] for where, values in found.items()} == sent
    assert len(fetching) == CONNECTIONS


async def test_partitions_with_nothing_hold_nobody_up_whose_records_are_waiting(broker: Settings) -> None:
    """The fetch of the others must be answered before those can be asked for again."""
    await written(broker, full := [TopicPartition(TOPIC, 0)], 1)
    async with consuming(broker, [*full, TopicPartition("otel.logs", 0), TopicPartition("otel.logs", 1)]) as consumer:
        await consumer._client.patient.wait()
        await consumer._client.prompt.wait()
        assert (await consumer.getone()).topic == TOPIC


async def test_where_to_begin_is_asked_once_at_a_time(broker: Settings) -> None:
    """Fetches have paths, and the question has not: aiokafka must see that it is under way."""
    await ensure_topics(broker)
    async with consuming(broker, [where := TopicPartition(TOPIC, 0)]) as consumer:
        await consumer.position(where)
        fetcher, assignment = consumer._fetcher, consumer._subscription.subscription.assignment
        assignment.state_value(where).await_reset(-2)
        fetcher._records.clear()
        fetcher._in_flight.clear()
        leader = consumer._client.cluster.leader_for_partition(where)
        _, asked, *_ = fetcher._get_actions_per_node(assignment)
        fetcher._in_flight.add(leader)
        _, asked_again, *_ = fetcher._get_actions_per_node(assignment)
        assert (list(asked), list(asked_again)) == ([leader], [])
