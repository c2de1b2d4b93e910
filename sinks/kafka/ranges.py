"""Reading ranges of offsets again, outside of any consumer group."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.checkpoints import OffsetRange
from schemas.errors import StoreUnavailable
from schemas.settings import Settings
from sinks.kafka.connection import client_settings, store_error
from sinks.kafka.ends import end_offsets, read_end_offsets

FETCH_WAIT_MS = 500
EMPTY_FETCHES = 20
"""So many fetches in a row that bring nothing are a broker that does not answer."""


async def read_ends(settings: Settings, topic: str, partitions: Sequence[int]) -> dict[int, int]:
    """Return the offset at which each partition ends. Raises `StoreUnavailable`."""
    ends = await read_end_offsets(settings, [TopicPartition(topic, number) for number in partitions])
    return {place.partition: end for place, end in ends.items()}


async def read_ranges(settings: Settings, topic: str, ranges: Sequence[OffsetRange]) -> list[list[Any]]:
    """Return the records of each range, as aiokafka's ``ConsumerRecord``, ascending.

    What the log does not hold any more is missing. Raises `StoreUnavailable`.
    """
    wanted = {TopicPartition(topic, each.partition): each for each in ranges}
    async with _consumer(settings, topic) as consumer:
        found = await _read(consumer, wanted)
    return [found[place] for place in wanted]


@asynccontextmanager
async def _consumer(settings: Settings, topic: str) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(**client_settings(settings), enable_auto_commit=False, auto_offset_reset="earliest")
    try:
        await consumer.start()
        yield consumer
    except (KafkaError, OSError, TimeoutError) as error:
        raise store_error(error, f"reading {topic} again") from error
    finally:
        await consumer.stop()


async def _read(
    consumer: AIOKafkaConsumer, wanted: dict[TopicPartition, OffsetRange]
) -> dict[TopicPartition, list[Any]]:
    begins, ends = await consumer.beginning_offsets(wanted), await end_offsets(consumer, wanted)
    consumer.assign(list(wanted))
    found: dict[TopicPartition, list[Any]] = {place: [] for place in wanted}
    open_until: dict[TopicPartition, int] = {}
    for place, each in wanted.items():
        first, end = max(each.first, begins[place]), min(each.last + 1, ends[place])
        consumer.seek(place, first)
        if first < end:
            open_until[place] = end
    empty = 0
    while open_until:
        fetched = await consumer.getmany(*open_until, timeout_ms=FETCH_WAIT_MS)
        for place, records in fetched.items():
            found[place] += [record for record in records if record.offset <= wanted[place].last]
        for place in [place for place, end in open_until.items() if await consumer.position(place) >= end]:
            del open_until[place]
        empty = 0 if any(fetched.values()) else empty + 1
        if empty > EMPTY_FETCHES:
            raise StoreUnavailable(f"Kafka has nothing more of {', '.join(map(str, open_until))}")
    return found
