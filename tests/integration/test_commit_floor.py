"""The commit floor on real brokers: after kill -9 a worker reads on exactly at the floor."""

from __future__ import annotations

import asyncio
from pathlib import Path

from aiokafka import AIOKafkaConsumer, TopicPartition
from children import child

from schemas.settings import Settings
from schemas.topics import TRACES
from sinks.kafka.producer import Producer
from sinks.kafka.topics import ensure_topics

CHILD = Path(__file__).with_name("floor_child.py")


async def produce(settings: Settings, first: int, last: int) -> None:
    """Send records ``first`` to ``last`` into partition 1, one by one so that batches are small."""
    async with Producer(settings) as producer:
        for number in range(first, last + 1):
            await producer.send(TRACES.name, b"%d" % number, partition=1)


async def committed(settings: Settings, partition: int) -> int | None:
    """Return the offset the broker holds for the group, or None."""
    async with AIOKafkaConsumer(
        bootstrap_servers=settings.kafka_brokers, group_id=settings.consumer_group, enable_auto_commit=False
    ) as consumer:
        offset: int | None = await consumer.committed(TopicPartition(TRACES.name, partition))
        return offset


async def until_committed(settings: Settings, offset: int) -> None:
    """Wait until the broker holds ``offset`` for partition 1."""
    async with asyncio.timeout(120):
        while await committed(settings, 1) != offset:  # noqa: ASYNC110  # another process's doing
            await asyncio.sleep(0.2)


async def test_killed_worker_is_followed_by_one_that_starts_exactly_at_the_floor(
    broker: Settings, tmp_path: Path
) -> None:
    """345 records handled, 300 and on still needed: the next worker starts at 300, not at 345."""
    settings = broker.model_copy(update={"partitions": 2, "data_dir": tmp_path})
    await ensure_topics(settings)
    async with child(CHILD, settings, tmp_path / "first.log") as first:
        await produce(settings, 0, 344)
        await until_committed(settings, 300)
        await first.kill()
    assert await committed(settings, 0) is None
    async with child(CHILD, settings, tmp_path / "second.log") as second:
        await second.until(lambda lines: len(lines) > 0)
        assert second.lines[0] == {"partition": 1, "first": 300}
        await produce(settings, 345, 499)
        await until_committed(settings, 400)


async def test_what_comes_while_workers_rewind_is_not_lost_at_a_join(own_broker: Settings, tmp_path: Path) -> None:
    """Fifty records, all still needed: after a join whoever has the partition reads it anew, however slow to rewind."""
    settings = own_broker.model_copy(update={"partitions": 2, "data_dir": tmp_path})
    await ensure_topics(settings)
    async with child(CHILD, settings, tmp_path / "first.log", "slow") as first:
        await produce(settings, 0, 49)
        await first.until(lambda lines: len(lines) > 0)
        async with child(CHILD, settings, tmp_path / "second.log", "slow") as second:
            begun = len(first.lines)
            again = {"partition": 1, "first": 0}
            done, waiting = await asyncio.wait(
                [
                    asyncio.create_task(first.until(lambda lines: again in lines[begun:])),
                    asyncio.create_task(second.until(lambda lines: again in lines)),
                ],
                return_when=asyncio.FIRST_COMPLETED,
            )
            for task in waiting:
                task.cancel()
            assert [task.exception() for task in done] == [None]
