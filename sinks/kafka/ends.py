"""Where the logs of partitions end, as a fetch tells it.

::

    ListOffsets ─▶ an end, or the middle of the last batch ─▶ fetch from there ─▶ high watermark: the end

The embedded broker answers ListOffsets (latest) with the offset after the *first* record of a partition's last batch
(Tansu 0.6). Whoever believed that would leave the rest of the batch unread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from schemas.errors import StoreUnavailable
from schemas.settings import Settings
from sinks.kafka.connection import client_settings, store_error

PATIENCE_S = 10.0
FETCH_WAIT_MS = 250


async def end_offsets(consumer: AIOKafkaConsumer, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the offset after the last record of each partition.

    The consumer's partitions and positions are others afterwards: assign and seek after it. Raises what the consumer
    raises, and `StoreUnavailable` when the broker lists records that it does not let us fetch.
    """
    begins = await consumer.beginning_offsets(places)
    ends: dict[TopicPartition, int] = await consumer.end_offsets(places)
    unsure = {place for place, end in ends.items() if end > begins[place]}
    if unsure:
        consumer.assign(list(unsure))
    for place in unsure:
        consumer.seek(place, ends[place] - 1)
    try:
        async with asyncio.timeout(PATIENCE_S):
            while unsure:
                await consumer.getmany(*unsure, timeout_ms=FETCH_WAIT_MS)
                told = {place: end for place in unsure if (end := consumer.highwater(place)) is not None}
                ends |= {place: max(end, ends[place]) for place, end in told.items()}
                unsure -= told.keys()
    except TimeoutError as error:
        raise StoreUnavailable(f"Kafka does not tell where {', '.join(map(str, unsure))} ends") from error
    return ends


async def read_end_offsets(settings: Settings, places: Iterable[TopicPartition]) -> dict[TopicPartition, int]:
    """Return the offset after the last record of each partition. Raises `StoreUnavailable`."""
    try:
        async with AIOKafkaConsumer(**client_settings(settings), enable_auto_commit=False) as consumer:
            return await end_offsets(consumer, places)
    except (KafkaError, OSError, TimeoutError) as error:
        raise store_error(error, "asking where logs end") from error
