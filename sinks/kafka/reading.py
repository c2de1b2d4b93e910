"""Reading single records by their place, outside of any consumer group."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import NotFound
from schemas.settings import Settings
from sinks.kafka.connection import client_settings, store_error
from sinks.kafka.ends import end_offsets
from sinks.kafka.topics import partitions_of

FETCH_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class ReadRecord:
    """A record as it lies on a topic."""

    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


async def read_record(settings: Settings, topic: str, partition: int, offset: int) -> ReadRecord:
    """Return one record. Raises `NotFound` when it is not there (any more), `StoreUnavailable` when nobody answers."""
    place = TopicPartition(topic, partition)
    if partition not in (await partitions_of(settings, [topic]))[topic]:
        raise NotFound(f"{topic} has no partition {partition}")
    consumer = AIOKafkaConsumer(**client_settings(settings), enable_auto_commit=False, max_poll_records=1)
    try:
        await consumer.start()
        first, end = await consumer.beginning_offsets([place]), await end_offsets(consumer, [place])
        if not first[place] <= offset < end[place]:
            raise NotFound(f"{topic}/{partition} does not hold offset {offset} any more")
        consumer.assign([place])
        consumer.seek(place, offset)
        found = await asyncio.wait_for(consumer.getone(place), FETCH_TIMEOUT_S)
    except TimeoutError as error:
        raise NotFound(f"nothing at {topic}/{partition}, offset {offset}") from error
    except (KafkaError, OSError) as error:
        raise store_error(error, f"reading {topic}/{partition}") from error
    finally:
        await consumer.stop()
    if found.offset != offset:
        raise NotFound(f"{topic}/{partition} does not hold offset {offset} any more")
    return ReadRecord(found.key, found.value, tuple(found.headers), found.timestamp)
