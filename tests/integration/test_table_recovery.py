"""Tables after a restart: whole, to the last record of their changelog."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import DefaultPartitioner
from live_worker import quick

from schemas.settings import Settings
from schemas.topics import CLOSED_TABLE, TRACES
from sinks.kafka.topics import ensure_topics
from topologies import metrics
from topologies.app import add_stage, make_app
from topologies.tables import StateTable, state_table


async def test_a_table_is_recovered_to_the_end_of_its_last_batch(broker: Settings) -> None:
    """Also where the broker lists an end in the middle of that batch."""
    settings = quick(broker).model_copy(update={"session_timeout_s": 6.0})
    states = {b"key %d" % number: b"state %d" % number for number in range(5)}
    await ensure_topics(settings)
    async with AIOKafkaProducer(bootstrap_servers=settings.kafka_brokers) as producer:
        batch = producer.create_batch()
        for key, value in states.items():
            batch.append(key=key, value=value, timestamp=None)
        await (await producer.send_batch(batch, CLOSED_TABLE.name, partition=0))

    async with recovered(settings) as table:
        assert dict(table.data) == states


async def test_a_table_over_its_bound_forgets_what_was_written_longest_ago_for_good(broker: Settings) -> None:
    """Names that come and go for ever: memory and changelog stay bounded, each partition's, also after a restart."""
    settings, most = quick(broker).model_copy(update={"session_timeout_s": 6.0}), 4_000
    await ensure_topics(settings)
    keys = {number: b"tenant\x00service %d" % number for number in range(200)}
    homes = {key: DefaultPartitioner()(key, [0, 1], [0, 1]) for key in keys.values()}
    before = _forgotten()
    async with recovered(settings, most) as table:
        for first in range(0, 200, 20):
            for home in (0, 1):
                news = {keys[n]: b"%03d" % n * 30 for n in range(first, first + 20) if homes[keys[n]] == home}
                heard = {keys[0]: b"heard of all the time"} if homes[keys[0]] == home else {}
                await table.save(home, news | heard)
        held = dict(table.data)
    assert keys[0] in held, "who is heard of is not forgotten"
    for home in (0, 1):
        here = [key in held for number, key in keys.items() if number and homes[key] == home]
        assert here == sorted(here), "what was written longest ago goes first"
    assert _forgotten() - before == 200 - len(held) > 100
    assert all(most - 250 < _weight(held, homes, home) <= most for home in (0, 1))
    async with recovered(settings, most) as table:
        assert dict(table.data) == held
        newcomers = {b"tenant\x00newcomer %d" % number: b"x" * 1_000 for number in range(8)}
        for key, value in newcomers.items():
            await table.save(DefaultPartitioner()(key, [0, 1], [0, 1]), {key: value})
            homes[key] = DefaultPartitioner()(key, [0, 1], [0, 1])
        assert all(_weight(dict(table.data), homes, home) <= most for home in (0, 1))


def _weight(states: Mapping[bytes, bytes], homes: Mapping[bytes, int], home: int) -> int:
    return sum(len(key) + len(value) for key, value in states.items() if homes[key] == home)


def _forgotten() -> float:
    return float(metrics.STATES_FORGOTTEN.labels("closed")._value.get())


@asynccontextmanager
async def recovered(settings: Settings, most_bytes: int | None = None) -> AsyncIterator[StateTable]:
    """Give a table of an app that has recovered it."""

    async def handle(_: Sequence[Any]) -> None:
        """Read nothing."""

    app = make_app(settings)
    table = state_table(app, CLOSED_TABLE, settings.partitions, most_bytes)
    add_stage(app, "reader", [TRACES.name], handle, batch=16, within_s=0.05)
    app.finalize()
    app.in_worker = True
    await app.start()
    try:
        async with asyncio.timeout(120):
            while not (app.assigned() and app.recovered()):  # noqa: ASYNC110  # Faust's own event begins set
                await asyncio.sleep(0.1)
        yield table
    finally:
        await app.stop()
