"""Kafka record batches made by hand: with their own timestamps, and such that take up offsets without records.

The format is that of KIP-98 (message format 2): ``lastOffsetDelta`` at byte 23, a CRC-32C over all from byte 21 on.
"""

from __future__ import annotations

import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from schemas.keys import TICK_HEADER
from schemas.topics import RAW_TOPICS

LARGEST_STEP = (1 << 31) - 1
"""``lastOffsetDelta`` is an int32: one batch moves a partition by at most this many offsets."""

BATCH_BYTES = 1_000_000
FILLER_KEY = b"\x00progress"
FILLER_HEADER = (TICK_HEADER, b"filler")
RAW_NAMES = frozenset(topic.name for topic in RAW_TOPICS)

Record = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Offset, timestamp in ms, key, value, headers."""


class Writer:
    """Appends record batches as they are, which no producer does."""

    def __init__(self, client: AIOKafkaClient) -> None:
        self._client = client

    async def append(self, topic: str, partition: int, batch: bytes) -> None:
        """Append one batch and wait until the broker has it."""
        request = ProduceRequest(
            transactional_id=None, required_acks=-1, timeout=30_000, topics=[(topic, [(partition, batch)])]
        )
        answer = await self._client.send(self._client.get_random_node(), request)
        error_code = answer.topics[0][1][0][1]
        if error_code:
            raise for_code(error_code)(f"putting back {topic}/{partition}")


@asynccontextmanager
async def open_writer(address: str) -> AsyncIterator[Writer]:
    """Connect a writer to the broker at ``host:port``."""
    client = AIOKafkaClient(bootstrap_servers=address)
    await client.bootstrap()
    try:
        yield Writer(client)
    finally:
        await client.close()


def runs(records: list[Record]) -> Iterator[list[Record]]:
    """Split records where offsets are missing between them."""
    run: list[Record] = []
    for record in records:
        if run and record[0] != run[-1][0] + 1:
            yield run
            run = []
        run.append(record)
    if run:
        yield run


def fillers(topic: str, position: int, target: int) -> Iterator[bytes]:
    """Yield batches that move a partition from ``position`` to ``target``."""
    while position < target:
        step = min(target - position, LARGEST_STEP)
        yield _filler(topic, step)
        position += step


def _filler(topic: str, offsets: int) -> bytes:
    """Make a batch of one skippable record that takes up ``offsets`` offsets."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, BATCH_BYTES)
    key, headers = (None, [FILLER_HEADER]) if topic in RAW_NAMES else (FILLER_KEY, [])
    builder.append(0, timestamp=0, key=key, value=b"", headers=headers)
    batch = bytearray(builder.build())
    struct.pack_into(">i", batch, 23, offsets - 1)  # lastOffsetDelta
    struct.pack_into(">I", batch, 17, calc_crc32c(bytes(batch[21:])))
    return bytes(batch)


def batches(records: list[Record]) -> Iterator[bytes]:
    """Yield record batches of about a megabyte."""
    builder, count, size_bytes = None, 0, 0
    for _, timestamp_ms, key, value, headers in records:
        record_bytes = len(key or b"") + len(value or b"") + 200
        if builder is None or size_bytes + record_bytes > BATCH_BYTES:
            if builder is not None:
                yield bytes(builder.build())
            builder, count, size_bytes = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, 64 * BATCH_BYTES), 0, 0
        builder.append(count, timestamp=timestamp_ms, key=key, value=value, headers=list(headers))
        count, size_bytes = count + 1, size_bytes + record_bytes
    if builder is not None:
        yield bytes(builder.build())
