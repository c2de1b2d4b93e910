"""Tables after a restart: whole, to the last record of their changelog."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

from aiokafka import AIOKafkaProducer
from live_worker import quick

from schemas.settings import Settings
from schemas.topics import CLOSED_TABLE, TRACES
from sinks.kafka.topics import ensure_topics
from topologies.app import add_stage, make_app
from topologies.tables import state_table


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

    async def handle(_: Sequence[Any]) -> None:
        """Read nothing."""

    app = make_app(settings)
    table = state_table(app, CLOSED_TABLE, settings.partitions)
    add_stage(app, "reader", [TRACES.name], handle, batch=16, within_s=0.05)
    app.finalize()
    app.in_worker = True
    await app.start()
    try:
        async with asyncio.timeout(120):
            while not (app.assigned() and app.recovered()):  # noqa: ASYNC110  # Faust's own event begins set
                await asyncio.sleep(0.1)
        assert dict(table.data) == states
    finally:
        await app.stop()
