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

from deploy.embedded.record_batches import (
    FILLER_HEADER,
    FILLER_KEY,
    RAW_NAMES,
    Record,
    Writer,
    batches,
    fillers,
    open_writer,
    runs,
)
from deploy.embedded.servers import Child
from schemas.errors import SetupError
from schemas.settings import Settings
from schemas.topics import ALL_TOPICS, TopicSpec
from sinks.kafka.ends import end_offsets
from sinks.kafka.topics import ensure_topics

FORMAT = 1
GENERATION_OFFSETS = 1 << 31
READ_PATIENCE_S = 10.0
COMPACTED = frozenset(topic.name for topic in ALL_TOPICS if topic.compacted)

log = structlog.get_logger()


@dataclass(slots=True)
class Partition:
    """What is kept of one partition: where the group stands (None: nowhere), where it ended, its records."""

    topic: str
    number: int
    committed: int | None
    end: int
    records: list[Record] = field(default_factory=list)


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

    async def count(self) -> int:
        """Return the sum of all partitions' ends: how many offsets were ever given out."""
        async with _consumer(self.settings) as consumer:
            ends = await end_offsets(
                consumer, [TopicPartition(topic.name, number) for topic, number in _partitions(self.settings)]
            )
        return sum(ends.values())

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
        async with open_writer(self.settings.kafka_brokers) as writer:
            found = {}
            if source.exists():
                known = {topic.name for topic in ALL_TOPICS}  # another version may have had other topics
                saved = _read_file(source, self.settings.partitions)
                for partition in (each for each in saved if each.topic in known):
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
    async with _consumer(settings) as consumer:
        places = [TopicPartition(topic.name, number) for topic, number in _partitions(settings)]
        ends = await end_offsets(consumer, places)
        for topic, number in _partitions(settings):
            place = TopicPartition(topic.name, number)
            kept = Partition(topic.name, number, stands.get(place), ends[place])
            kept.records = await _read_partition(consumer, place, kept.committed or 0, kept.end)
            if topic.compacted:
                newest = {record[2]: record for record in kept.records}
                kept.records = [record for record in newest.values() if record[3] is not None]
            elif kept.committed is None and topic.name not in RAW_NAMES:
                oldest_ms = time.time() * 1000 - topic.retention_ms
                kept.records = [record for record in kept.records if record[1] >= oldest_ms]
            yield kept


@asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers)
    try:
        await consumer.start()
        yield consumer
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


async def _put_back(writer: Writer, partition: Partition, base: int) -> int | None:
    """Append a partition's records and return where its group stands now (None: at the beginning).

    With a ``base`` the log itself was lost: tables are filled, every other partition begins at ``base``.
    """
    name, number = partition.topic, partition.number
    if name in COMPACTED:
        for batch in batches(partition.records):
            await writer.append(name, number, batch)
        return None
    position = 0
    records = [] if base else partition.records
    for run in runs(records):
        for filler in fillers(name, position, run[0][0]):
            await writer.append(name, number, filler)
        for batch in batches(run):
            await writer.append(name, number, batch)
        position = run[-1][0] + 1
    end = max(base, partition.end)
    for filler in fillers(name, position, end):
        await writer.append(name, number, filler)
    return end if base else partition.committed


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
