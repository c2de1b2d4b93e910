"""Workers that are killed, and workers that share: the panes are always those of one undisturbed run."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from children import Child, as_environment, child
from otlp_load import SECOND_NS, START_NS, TRACES_A_RECORD, seconds
from pydantic import SecretStr

from schemas.events import ServiceHealth
from schemas.keys import PROGRESS_KEY
from schemas.settings import Settings
from schemas.topics import HEALTH
from sinks.kafka.producer import Producer
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
            "tick_interval_s": 0.5,
            **changes,
        }
    )


@asynccontextmanager
async def running_worker(settings: Settings, log: Path) -> AsyncIterator[Child]:
    """Run a worker in a process of its own."""
    async with child(HERE / "worker_child.py", settings, log) as worker:
        await worker.until(bool)
        yield worker


async def pane_rows(settings: Settings, tenant: str) -> Rows:
    """Read the tenant's rows from the folder that the last worker has left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "panes_child.py"),
        tenant,
        env=as_environment(settings),
        stdout=asyncio.subprocess.PIPE,
    )
    answer, _ = await process.communicate()
    rows: Rows = json.loads(answer)
    return rows


async def until_final(settings: Settings, tenant: str, panes: int) -> dict[tuple[str, int], ServiceHealth]:
    """Read topic health until ``panes`` panes of every service are final; return the newest picture of every pane."""
    newest: dict[tuple[str, int], ServiceHealth] = {}
    places = [TopicPartition(HEALTH.name, partition) for partition in range(PARTITIONS)]
    async with AIOKafkaConsumer(bootstrap_servers=settings.kafka_brokers, auto_offset_reset="earliest") as consumer:
        consumer.assign(places)
        await consumer.seek_to_beginning()
        async with asyncio.timeout(120):
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


async def send(settings: Settings, tenant: str, *, within_s: float = 0.0) -> None:
    """Send the whole load, spread over ``within_s`` seconds."""
    async with Producer(settings) as producer:
        for messages in seconds(SECONDS, tenant, PARTITIONS):
            await producer.send_many(messages)
            await asyncio.sleep(within_s / SECONDS)


@pytest.mark.timeout(300)
async def test_pane_rows_after_kills_equal_those_of_an_undisturbed_run(broker: Settings, tmp_path: Path) -> None:
    """One tenant's replay runs undisturbed, the same data of another is met by two kills; the rows are equal."""
    settings = own_store(broker, tmp_path)
    await ensure_topics(settings)
    panes = SECONDS // 10
    log = tmp_path / "worker.log"
    async with running_worker(settings, log) as worker:
        await send(settings, "calm")
        await until_final(settings, "calm", panes)
        sending = asyncio.create_task(send(settings, "shaken", within_s=20.0))
        await asyncio.sleep(7)
        await worker.kill()
    async with running_worker(settings, log) as worker:
        await asyncio.sleep(11)
        await worker.kill()
    async with running_worker(settings, log) as worker:
        await sending
        await until_final(settings, "shaken", panes)
        await worker.kill()
    calm, shaken = await pane_rows(settings, "calm"), await pane_rows(settings, "shaken")
    assert calm["service_panes"]
    assert sum(int(row["requests"]) for row in calm["service_panes"] if row["service"] == "frontend") == (
        SECONDS * PARTITIONS * TRACES_A_RECORD
    )
    for table, rows in calm.items():
        assert shaken[table] == rows, f"{table} differs"


def comparable(panes: dict[tuple[str, int], ServiceHealth]) -> dict[tuple[str, int], ServiceHealth]:
    """Return panes without what may differ from run to run."""
    return {key: pane.model_copy(update={"tenant": "", "version": 0, "revision": 0}) for key, pane in panes.items()}


def traces(line: dict[str, Any]) -> int:
    """Return how many partitions of otel.traces a worker reports, 0 while it is not ready."""
    return int(line["partitions"].get("otel.traces", 0)) if line["ready"] else 0


@pytest.mark.timeout(300)
async def test_two_workers_share_the_partitions_and_publish_what_one_would(
    own_broker: Settings, tmp_path: Path
) -> None:
    """One worker alone for one tenant; then a second joins in the middle of another tenant's replay."""
    first = own_store(own_broker, tmp_path / "first")
    second = own_store(own_broker, tmp_path / "second")
    for settings in (first, second):
        settings.data_dir.mkdir(parents=True)
    await ensure_topics(first)
    panes = SECONDS // 10
    async with running_worker(first, tmp_path / "first.log") as one:
        await send(first, "alone")
        alone = await until_final(first, "alone", panes)
        sending = asyncio.create_task(send(first, "shared", within_s=25.0))
        async with running_worker(second, tmp_path / "second.log") as other:
            await one.until(lambda lines: traces(lines[-1]) == 1)
            await other.until(lambda lines: traces(lines[-1]) == 1)
            await sending
            shared = await until_final(first, "shared", panes)
    assert comparable(shared) == comparable(alone)
