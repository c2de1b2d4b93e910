"""Reading single records by their place, outside of any consumer group."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import NotFound
from schemas.settings import Settings
from sinks.kafka.connection import client_settings, store_error

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
    consumer = AIOKafkaConsumer(**client_settings(settings), enable_auto_commit=False, max_poll_records=1)
    try:
        await consumer.start()
        if partition not in (consumer.partitions_for_topic(topic) or ()):
            raise NotFound(f"{topic} has no partition {partition}")
        consumer.assign([place])
        first, end = await consumer.beginning_offsets([place]), await consumer.end_offsets([place])
        if not first[place] <= offset < end[place]:
            raise NotFound(f"{topic}/{partition} does not hold offset {offset} any more")
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
