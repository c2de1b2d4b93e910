"""A replay goes on where workers have come and gone: what its sources told of its time is told again."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest
from aiokafka import TopicPartition
from faust.types import TP
from live_worker import PARTITIONS, eventually, quick, running
from otlp_load import SECOND_NS, START_NS, second, ticks

from schemas.settings import Settings
from schemas.topics import ROLLUPS, STUBS, TRACES
from sinks.kafka.ends import read_end_offsets
from sinks.stores import Stores
from topologies.worker import Worker

LAST = (TRACES.name, 1)
"""The source partition where the replay's spans are, read when all others have told that they are at its end."""
FINAL = "SELECT uniq(service) FROM service_panes FINAL WHERE tenant = 'acme' AND final AND requests > 0"


@pytest.mark.timeout(240)
async def test_what_a_replays_sources_told_is_known_when_all_floors_are_past_it(own_broker: Settings) -> None:
    """Two workers come and go between the end of most partitions and the spans of the last: their panes are final."""
    settings = quick(own_broker)
    end = ticks(START_NS + 400 * SECOND_NS, "acme", PARTITIONS)
    async with running(settings) as (stores, worker):
        acks = await stores.producer.send_many([each for each in end if (each.topic, each.partition) != LAST])
        await _until_committed(worker, {TP(ack.topic, ack.partition): ack.offset + 1 for ack in acks})
    inner = [TopicPartition(topic.name, number) for topic in (ROLLUPS, STUBS) for number in range(PARTITIONS)]
    told = await read_end_offsets(settings, inner)
    async with running(settings) as (_, worker):
        await _until_committed(worker, {TP(*place): offset for place, offset in told.items()})
    async with running(settings) as (stores, _):
        late = [each for each in [*second(1, "acme", PARTITIONS), *end] if (each.topic, each.partition) == LAST]
        await stores.producer.send_many(late)
        await eventually(lambda: _final_services(stores), 3, patience_s=60.0)


async def _until_committed(worker: Worker, offsets: Mapping[TP, int]) -> None:
    def left() -> dict[TP, int]:
        return {tp: offset for tp, offset in offsets.items() if (worker.app.committed(tp) or 0) < offset}

    async with asyncio.timeout(60):
        while left():  # noqa: ASYNC110  # the worker's doing
            await asyncio.sleep(0.2)


async def _final_services(stores: Stores) -> int:
    return int(await stores.clickhouse.command(FINAL))
