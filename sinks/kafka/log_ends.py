"""Where the logs of topics begin and end, and how far our group has committed, seen from outside the group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.settings import Settings
from sinks.kafka.arrivals import arrival_ns
from sinks.kafka.connection import client_settings, store_error
from sinks.kafka.ends import end_offsets
from sinks.kafka.topics import partitions_of


@dataclass(frozen=True, slots=True)
class LogEnds:
    """A partition's log is [first, end); ``committed`` is what our group needs nothing below of, None at first."""

    topic: str
    partition: int
    first: int
    end: int
    committed: int | None


class LogReader:
    """A client that asks about logs, and reads single records' times. Use `reading_logs`."""

    def __init__(self, settings: Settings, consumer: AIOKafkaConsumer) -> None:
        self._settings = settings
        self._consumer = consumer

    async def ends(self, topics: Iterable[str]) -> list[LogEnds]:
        """Return every partition of the topics. Raises `StoreUnavailable`."""
        consumer = self._consumer
        partitions = await partitions_of(self._settings, topics)
        places = [TopicPartition(topic, number) for topic, numbers in partitions.items() for number in numbers]
        try:
            firsts, ends = await consumer.beginning_offsets(places), await end_offsets(consumer, places)
            committed = {place: await consumer.committed(place) for place in places}
        except (KafkaError, OSError, TimeoutError) as error:
            raise store_error(error, "asking where logs end") from error
        return [LogEnds(p.topic, p.partition, firsts[p], ends[p], committed[p]) for p in places]

    async def arrived_ns(self, topic: str, partition: int, offset: int) -> int | None:
        """Return the Kafka time of the first record at or after ``offset``, or None when none can be had now."""
        place = TopicPartition(topic, partition)
        try:
            self._consumer.assign([place])
            self._consumer.seek(place, offset)
            found = await self._consumer.getmany(place, timeout_ms=2_000, max_records=1)
        except (KafkaError, OSError, TimeoutError) as error:
            raise store_error(error, f"reading {topic}/{partition}") from error
        records = found.get(place)
        return arrival_ns(records[0].timestamp) if records else None


@asynccontextmanager
async def reading_logs(settings: Settings) -> AsyncIterator[LogReader]:
    """Connect as long as the context is open. Raises `StoreUnavailable` when no broker answers."""
    consumer = AIOKafkaConsumer(
        **client_settings(settings), group_id=settings.consumer_group, enable_auto_commit=False, fetch_max_wait_ms=250
    )
    try:
        await consumer.start()
    except (KafkaError, OSError) as error:
        await consumer.stop()
        raise store_error(error, "connecting") from error
    try:
        yield LogReader(settings, consumer)
    finally:
        await consumer.stop()
