"""The embedded broker keeps its log in memory; this writes the part that is still needed to disk, and back.

On every way out (see `deploy.embedded.keeper`) the log is saved: of each topic what the workers' group has not
committed past, all of it where the group commits nothing, and of a compacted topic the newest record of each key.
The next start puts it back **at the same offsets**, with the group's commits, so a worker goes on as if the
broker had been durable, and an ingest id (topic, partition, offset, item) never names two things.

::

    first start        offsets from 0
    clean start        log ──▶ broker, every record where it was
    after a lost log   (power cut, broker killed) the tables of the last save; all other partitions begin at
                       generation x 2^31, beyond any offset that was ever given out

A partition is moved to an offset by one record batch whose ``lastOffsetDelta`` claims the offsets before it, as a
compacted batch does. The record in it is a tick (raw topics) or has the progress key, which readers skip; our own
group is committed past it.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import msgpack
import structlog
import zstandard
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.client import AIOKafkaClient
from aiokafka.errors import for_code
from aiokafka.protocol.produce import ProduceRequest
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from aiokafka.record.util import calc_crc32c

from deploy.embedded.servers import Child
from schemas.errors import SetupError
from schemas.keys import TICK_HEADER
from schemas.settings import Settings
from schemas.topics import ALL_TOPICS, RAW_TOPICS, TopicSpec
from sinks.kafka.topics import ensure_topics

FORMAT = 1
GENERATION_OFFSETS = 1 << 31
LARGEST_STEP = (1 << 31) - 1
"""``lastOffsetDelta`` is an int32: one batch moves a partition by at most this many offsets."""

BATCH_BYTES = 1_000_000
FILLER_KEY = b"\x00progress"
FILLER_HEADER = (TICK_HEADER, b"filler")
READ_PATIENCE_S = 10.0
RAW_NAMES = frozenset(topic.name for topic in RAW_TOPICS)

log = structlog.get_logger()


@dataclass(slots=True)
class Partition:
    """What is kept of one partition: where the group stands (None: nowhere), where it ended, its records."""

    topic: str
    number: int
    committed: int | None
    end: int
    records: list[Record] = field(default_factory=list)


Record = tuple[int, int, bytes | None, bytes | None, list[tuple[str, bytes]]]
"""Offset, timestamp in ms, key, value, headers."""


class BrokerLog:
    """The saved log in a folder of the embedded broker, and the generation of the broker's life.

    ``live`` marks a life whose log is not saved yet; finding it at a start means that log is lost.
    """

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.settings = settings
        self.saved, self.used, self.live = folder / "log", folder / "log.used", folder / "live"
        self._draft = folder / "log.new"

    def begin(self) -> bool:
        """Begin a life of the broker; return whether the log of the life before was lost.

        Until `restore` is done nothing will be saved, so a start that fails half-way harms nothing.
        """
        lost = self.live.exists() and not self.saved.exists()
        self.live.unlink(missing_ok=True)
        return lost

    def saver(self) -> Child:
        """Describe the command that saves the log of the running broker (see `main`)."""
        settings, folder = self.settings, str(self.saved.parent)
        arguments = [folder, settings.kafka_brokers, settings.consumer_group, str(settings.partitions)]
        return Child(
            "broker_log",
            [sys.executable, "-c", "from deploy.embedded.broker_log import main; main()", *arguments],
            cwd=folder,
            log=str(self.saved.parent / "broker_log.log"),
            env={"PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )

    async def save(self) -> None:
        """Write what is needed of the running broker's log, all or nothing. Does nothing unless `restore` was done."""
        if not self.live.exists():
            return
        with zstandard.open(self._draft, "wb") as file:
            file.write(msgpack.packb({"format": FORMAT, "partitions": self.settings.partitions}))
            async for partition in _read_broker(self.settings):
                file.write(msgpack.packb((partition.topic, partition.number, partition.committed, partition.end)))
                for record in partition.records:
                    file.write(msgpack.packb(record))
                file.write(msgpack.packb(None))
        self._draft.replace(self.saved)
        self.live.unlink()

    async def restore(self, generation: int) -> None:
        """Fill the empty broker from the last save. ``generation`` counts the logs lost so far.

        Raises `SetupError` when the log was saved with another number of partitions.
        """
        await ensure_topics(self.settings)
        source = self.saved if self.saved.exists() else self.used
        base = 0 if self.saved.exists() else generation * GENERATION_OFFSETS
        async with _writer(self.settings) as writer:
            found = {}
            if source.exists():
                for partition in _read_file(source, self.settings.partitions):
                    found[partition.topic, partition.number] = await _put_back(writer, partition, base)
            for topic, number in _partitions(self.settings):
                if base and (topic.name, number) not in found and not topic.compacted:
                    found[topic.name, number] = await _put_back(writer, Partition(topic.name, number, None, 0), base)
        await _commit(self.settings, {tp: offset for tp, offset in found.items() if offset is not None})
        self.live.touch()
        if self.saved.exists():
            self.saved.replace(self.used)


def _partitions(settings: Settings) -> Iterator[tuple[TopicSpec, int]]:
    return ((topic, number) for topic in ALL_TOPICS for number in range(settings.partitions))


async def _read_broker(settings: Settings) -> AsyncIterator[Partition]:
    """Yield each partition with the records that are still needed."""
    stands = await _committed(settings)
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers)
    await consumer.start()
    try:
        ends = await consumer.end_offsets(
            [TopicPartition(topic.name, number) for topic, number in _partitions(settings)]
        )
        for topic, number in _partitions(settings):
            place = TopicPartition(topic.name, number)
            kept = Partition(topic.name, number, stands.get(place), ends[place])
            kept.records = await _read_partition(consumer, place, kept.committed or 0, kept.end)
            if topic.compacted:
                kept.records = list({record[2]: record for record in kept.records}.values())
            elif kept.committed is None and topic.name not in RAW_NAMES:
                oldest_ms = time.time() * 1000 - topic.retention_ms
                kept.records = [record for record in kept.records if record[1] >= oldest_ms]
            yield kept
    finally:
        await consumer.stop()


async def _committed(settings: Settings) -> dict[TopicPartition, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=settings.kafka_brokers)
    await admin.start()
    try:
        found = await admin.list_consumer_group_offsets(
            settings.consumer_group,
            partitions=[TopicPartition(topic.name, number) for topic, number in _partitions(settings)],
        )
        return {place: stand.offset for place, stand in found.items() if stand.offset >= 0}
    finally:
        await admin.close()


async def _read_partition(consumer: AIOKafkaConsumer, place: TopicPartition, start: int, end: int) -> list[Record]:
    records: list[Record] = []
    if start >= end:
        return records
    consumer.assign([place])
    consumer.seek(place, start)
    async with asyncio.timeout(READ_PATIENCE_S) as patience:
        while start < end:
            for batch in (await consumer.getmany(place, timeout_ms=500)).values():
                records += [_plain(record) for record in batch if not _is_filler(record)]
            if (position := await consumer.position(place)) > start:
                start = position
                patience.reschedule(asyncio.get_running_loop().time() + READ_PATIENCE_S)
    return records


def _plain(record: ConsumerRecord[bytes, bytes]) -> Record:
    return record.offset, record.timestamp, record.key, record.value, list(record.headers)


def _is_filler(record: ConsumerRecord[bytes, bytes]) -> bool:
    return not record.value and (record.key == FILLER_KEY or FILLER_HEADER in record.headers)


def _read_file(path: Path, partitions: int) -> Iterator[Partition]:
    """Yield the partitions of a saved log. Raises `SetupError` when it is of another shape than the settings."""
    with zstandard.open(path, "rb") as file:
        entries = msgpack.Unpacker(_readable(file), use_list=False, max_buffer_size=0)
        head = next(entries)
        if head["format"] != FORMAT or head["partitions"] != partitions:
            raise SetupError(
                f"the embedded broker's log was saved with {head['partitions']} partitions a topic, not {partitions}",
                f"set INCIDENTSCOPE_PARTITIONS={head['partitions']}, or delete {path} to start without it",
            )
        for topic, number, committed, end in entries:
            partition = Partition(topic, number, committed, end)
            while (record := next(entries)) is not None:
                partition.records.append(record)
            yield partition


def _readable(file: Any) -> IO[bytes]:
    readable: IO[bytes] = file
    return readable


# -- putting back ------------------------------------------------------------------------------------------


class _Writer:
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
async def _writer(settings: Settings) -> AsyncIterator[_Writer]:
    client = AIOKafkaClient(bootstrap_servers=settings.kafka_brokers)
    await client.bootstrap()
    try:
        yield _Writer(client)
    finally:
        await client.close()


COMPACTED = frozenset(topic.name for topic in ALL_TOPICS if topic.compacted)


async def _put_back(writer: _Writer, partition: Partition, base: int) -> int | None:
    """Append a partition's records and return where its group stands now (None: at the beginning).

    With a ``base`` the log itself was lost: tables are filled, every other partition begins at ``base``.
    """
    name, number = partition.topic, partition.number
    if name in COMPACTED:
        for batch in _batches(partition.records):
            await writer.append(name, number, batch)
        return None
    position = 0
    records = [] if base else partition.records
    for run in _runs(records):
        for filler in _fillers(name, position, run[0][0]):
            await writer.append(name, number, filler)
        for batch in _batches(run):
            await writer.append(name, number, batch)
        position = run[-1][0] + 1
    end = max(base, partition.end)
    for filler in _fillers(name, position, end):
        await writer.append(name, number, filler)
    return end if base else partition.committed


def _runs(records: list[Record]) -> Iterator[list[Record]]:
    """Split records where offsets are missing between them."""
    run: list[Record] = []
    for record in records:
        if run and record[0] != run[-1][0] + 1:
            yield run
            run = []
        run.append(record)
    if run:
        yield run


def _fillers(topic: str, position: int, target: int) -> Iterator[bytes]:
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


def _batches(records: list[Record]) -> Iterator[bytes]:
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


async def _commit(settings: Settings, offsets: dict[tuple[str, int], int]) -> None:
    if not offsets:
        return
    consumer = AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_brokers, group_id=settings.consumer_group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        places = {TopicPartition(*place): offset for place, offset in offsets.items()}
        consumer.assign(list(places))
        await consumer.commit(places)
    finally:
        await consumer.stop()


def main() -> None:
    """Save the log of a running broker: FOLDER ADDRESS GROUP PARTITIONS (the keeper calls this)."""
    folder, address, group, partitions = sys.argv[1:]
    settings = Settings(kafka_brokers=address, consumer_group=group, partitions=int(partitions), _env_file=None)
    asyncio.run(BrokerLog(Path(folder), settings).save())
