"""The embedded broker forgets; its saved log does not: same records, same offsets, same commits."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from pydantic import SecretStr

from deploy.embedded import EmbeddedStack
from deploy.embedded.broker_log import GENERATION_OFFSETS
from schemas.errors import SetupError, StoreUnavailable
from schemas.settings import Settings
from schemas.topics import ALERTS, BASELINES_TABLE, TRACES
from sinks.kafka.ends import end_offsets

Read = list[tuple[int, bytes | None, bytes | None]]


def only_broker(folder: Path, partitions: int = 2) -> Settings:
    """Return settings whose embedded stack is a broker and nothing else."""
    elsewhere = SecretStr("elsewhere")
    return Settings(
        data_dir=folder,
        partitions=partitions,
        clickhouse_dsn=elsewhere,
        postgres_dsn=elsewhere,
        redis_url=elsewhere,
        _env_file=None,
    )


async def send(settings: Settings, topic: str, values: list[bytes], key: bytes | None = None) -> list[int]:
    """Send values to partition 0 as one batch, and return their offsets."""
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers) as producer:
        batch = producer.create_batch()
        for value in values:
            batch.append(key=key, value=value, timestamp=None, headers=[("h", value)])
        first = await (await producer.send_batch(batch, topic, partition=0))
    return list(range(first.offset, first.offset + len(values)))


async def commit(settings: Settings, topic: str, offset: int) -> None:
    """Commit an offset of partition 0 for the workers' group."""
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_brokers, group_id=settings.consumer_group, enable_auto_commit=False
    ) as consumer:
        place = TopicPartition(topic, 0)
        consumer.assign([place])
        await consumer.commit({place: offset})


async def read_as_a_worker(settings: Settings, topic: str, count: int) -> Read:
    """Read ``count`` records of partition 0 from where the workers' group stands, else from the beginning."""
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_brokers, group_id=settings.consumer_group, auto_offset_reset="earliest",
        enable_auto_commit=False,
    ) as consumer:  # fmt: skip
        consumer.assign([TopicPartition(topic, 0)])
        async with asyncio.timeout(120):
            records = [await consumer.getone() for _ in range(count)]
    return [(record.offset, record.key, record.value) for record in records]


async def test_what_is_not_committed_comes_back_at_the_same_offsets(tmp_path: Path) -> None:
    """A second start has the records behind the commit where they were, and numbers new ones after them."""
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        await send(settings, TRACES.name, [b"0", b"1", b"2", b"3"])
        await commit(settings, TRACES.name, 2)
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        assert await read_as_a_worker(settings, TRACES.name, 2) == [(2, None, b"2"), (3, None, b"3")]
        assert await send(settings, TRACES.name, [b"4"]) == [4]
        await commit(settings, TRACES.name, 5)
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        assert await send(settings, TRACES.name, [b"5"]) == [5]
        assert await read_as_a_worker(settings, TRACES.name, 1) == [(5, None, b"5")]


async def test_a_table_comes_back_with_the_newest_value_of_each_key(tmp_path: Path) -> None:
    """Changelogs are compacted on the way."""
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        for number in range(3):
            await send(settings, BASELINES_TABLE.name, [b"%d" % number], key=b"a")
        await send(settings, BASELINES_TABLE.name, [b"9"], key=b"b")
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        table = await read_as_a_worker(settings, BASELINES_TABLE.name, 2)
    assert [(key, value) for _, key, value in table] == [(b"a", b"2"), (b"b", b"9")]


async def test_topics_that_others_read_come_back_whole(tmp_path: Path) -> None:
    """Nothing is known of who reads alerts, so all within the retention time are kept."""
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        await send(settings, ALERTS.name, [b"a", b"b"])
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        assert await read_as_a_worker(settings, ALERTS.name, 2) == [(0, None, b"a"), (1, None, b"b")]


async def test_after_a_lost_log_no_offset_is_given_out_twice(tmp_path: Path) -> None:
    """A life that ended without saving leaves the tables of the last save, and new offsets far beyond its own."""
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        await send(settings, BASELINES_TABLE.name, [b"1"], key=b"a")
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        await send(settings, TRACES.name, [b"0", b"1"])
    (tmp_path / "broker" / "log").unlink()
    (tmp_path / "broker" / "live").touch()
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        assert await send(settings, TRACES.name, [b"2"]) == [GENERATION_OFFSETS]
        assert await read_as_a_worker(settings, TRACES.name, 1) == [(GENERATION_OFFSETS, None, b"2")]
        assert await read_as_a_worker(settings, BASELINES_TABLE.name, 1) == [(0, b"a", b"1")]
    async with EmbeddedStack(only_broker(tmp_path)) as settings:
        assert await read_as_a_worker(settings, TRACES.name, 1) == [(GENERATION_OFFSETS, None, b"2")]
        assert await send(settings, TRACES.name, [b"3"]) == [GENERATION_OFFSETS + 1]


async def test_another_number_of_partitions_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """Keys would be on the wrong partitions."""
    async with EmbeddedStack(only_broker(tmp_path, partitions=2)):
        pass
    with pytest.raises(SetupError, match="2 partitions a topic, not 3") as refusal:
        async with EmbeddedStack(only_broker(tmp_path, partitions=3)):
            pass
    assert "INCIDENTSCOPE_PARTITIONS=2" in refusal.value.remedy
    async with EmbeddedStack(only_broker(tmp_path, partitions=2)):
        pass


async def test_a_renewed_broker_has_the_same_records_and_loses_none_of_its_writers(tmp_path: Path) -> None:
    """Who writes through the door while the log is moved waits, and every confirmed record is there."""
    stack = EmbeddedStack(only_broker(tmp_path))
    async with stack as settings:
        await send(settings, TRACES.name, [b"%d" % number for number in range(100)])
        await commit(settings, TRACES.name, 90)
        before = await stack.broker_records()
        async with AIOKafkaProducer(bootstrap_servers=stack.kafka_address, acks="all") as producer:
            stop, confirmed = asyncio.Event(), 100
            writing = asyncio.create_task(keep_writing(producer, stop))
            await stack.renew_broker()
            stop.set()
            confirmed += await writing
        assert before == 100
        assert await stack.broker_records() < before
        records = await read_as_a_worker(settings, TRACES.name, 11)
        assert [offset for offset, _, _ in records] == list(range(90, 101))
        async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers) as consumer:
            place = TopicPartition(TRACES.name, 0)
            assert (await end_offsets(consumer, [place]))[place] >= confirmed


async def keep_writing(producer: AIOKafkaProducer, stop: asyncio.Event) -> int:
    """Write until told to stop, at least once; return how many records were confirmed."""
    confirmed = 0
    while not (stop.is_set() and confirmed):
        await producer.send_and_wait(TRACES.name, b"w", partition=0)
        confirmed += 1
    return confirmed


async def test_a_server_that_died_is_told(tmp_path: Path) -> None:
    """Whoever runs the product ends with the reason instead of trying for ever."""
    stack = EmbeddedStack(only_broker(tmp_path), throwaway=True)
    async with stack:
        os.kill(stack.pids["broker"], signal.SIGKILL)
        with pytest.raises(StoreUnavailable, match="broker ended"):
            await asyncio.wait_for(keep_asking(stack), 10)


async def keep_asking(stack: EmbeddedStack) -> None:
    """Look at the stack until that fails."""
    while True:
        await stack.broker_records()
        await asyncio.sleep(0.05)
