"""Workers that are killed: the panes are always those of an undisturbed run. (`tests/faults` does more of it.)"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from children import as_environment
from fleet import Fleet, Worker
from otlp_load import SECOND_NS, START_NS, TRACES_A_RECORD, seconds
from pydantic import SecretStr

from schemas.health import ServiceHealth
from schemas.keys import PROGRESS_KEY
from schemas.settings import Settings
from schemas.topics import HEALTH
from sinks.kafka.producer import Message, Producer
from sinks.kafka.topics import ensure_topics

HERE = Path(__file__).parent
SECONDS = 150
PARTITIONS = 2
END_NS = START_NS + SECONDS * SECOND_NS
"""What comes after are empty panes up to the last tick, the newest of which are never final."""
SERVICES = ("frontend", "cart", "postgresql:shop")

Rows = dict[str, list[dict[str, Any]]]


def own_store(settings: Settings, folder: Path, **changes: Any) -> Settings:
    """Return settings for a worker that may be killed: its chDB is a folder that no other process opens."""
    return settings.model_copy(
        update={
            "partitions": PARTITIONS,
            "data_dir": folder,
            "clickhouse_dsn": SecretStr(f"chdb://{folder}/clickhouse"),
            "session_timeout_s": 6.0,
            "flush_interval_s": 0.2,
            "insert_wait_s": 0.2,
            "tick_interval_s": 0.5,
            **changes,
        }
    )


async def pane_rows(settings: Settings, tenant: str) -> Rows:
    """Read the tenant's rows of the load from the folder that the last worker has left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "panes_child.py"),
        tenant,
        env=as_environment(settings),
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await process.communicate()
    rows: Rows = json.loads(answer)
    end = f"{datetime.fromtimestamp(END_NS // SECOND_NS, UTC):%F %T}"
    return {table: [row for row in found if row["pane_start"] < end] for table, found in rows.items()}


async def until_final(settings: Settings, tenant: str, panes: int) -> dict[tuple[str, int], ServiceHealth]:
    """Read topic health until ``panes`` panes of every service are final; return the newest picture of every pane."""
    newest: dict[tuple[str, int], ServiceHealth] = {}
    places = [TopicPartition(HEALTH.name, partition) for partition in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest") as consumer:
        consumer.assign(places)
        await consumer.seek_to_beginning()
        async with asyncio.timeout(300):
            while True:
                for records in (await consumer.getmany(timeout_ms=200)).values():
                    for record in records:
                        if record.key != PROGRESS_KEY:
                            pane = ServiceHealth.model_validate_json(record.value)
                            if pane.tenant == tenant:
                                newest[pane.service, pane.pane_start_ns] = pane
                final = [name for (name, pane_ns), pane in newest.items() if pane.final and pane_ns < END_NS]
                if all(final.count(service) >= panes for service in SERVICES):
                    return newest


async def started(fleet: Fleet, settings: Settings) -> Worker:
    """Start a worker and wait until it works."""
    worker = await fleet.start(settings)
    await worker.until_ready()
    return worker


async def handled(worker: Worker, records: int) -> None:
    """Wait until a worker has taken more raw records than these."""
    await worker.until(lambda it: it.last["handled"] > records)
    assert worker.ended is None, worker.tail()


async def send(settings: Settings, messages: Iterable[list[Message]]) -> None:
    """Send the records, second by second."""
    async with Producer(settings) as producer:
        for second in messages:
            await producer.send_many(second)


@pytest.mark.timeout(600)
async def test_pane_rows_after_kills_equal_those_of_an_undisturbed_run(
    own_broker: Settings, fleet: Fleet, tmp_path: Path
) -> None:
    """One tenant's replay runs undisturbed, the same data of another is met by two kills; the rows are equal.

    ClickHouse is in the worker's process, and killed with it.
    """
    settings = own_store(own_broker, tmp_path)
    await ensure_topics(settings)
    panes = SECONDS // 10
    calm_load, shaken_load = (list(seconds(SECONDS, tenant, PARTITIONS)) for tenant in ("calm", "shaken"))
    third = SECONDS // 3
    worker = await started(fleet, settings)
    await send(settings, calm_load)
    await until_final(settings, "calm", panes)
    await send(settings, shaken_load[:third])
    await handled(worker, sum(map(len, calm_load)) + 2 * third)
    await worker.kill()
    worker = await started(fleet, settings)
    await send(settings, shaken_load[third : 2 * third])
    await handled(worker, 3 * third)
    await worker.kill()
    worker = await started(fleet, settings)
    await send(settings, shaken_load[2 * third :])
    await until_final(settings, "shaken", panes)
    await worker.kill()
    calm, shaken = await pane_rows(settings, "calm"), await pane_rows(settings, "shaken")
    assert calm["service_panes"]
    assert sum(int(row["requests"]) for row in calm["service_panes"] if row["service"] == "frontend") == (
        SECONDS * PARTITIONS * TRACES_A_RECORD
    )
    for table, rows in calm.items():
        assert shaken[table] == rows, f"{table} differs"
