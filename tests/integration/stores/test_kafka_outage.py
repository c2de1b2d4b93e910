"""The producer while its broker dies and comes back on the same address."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from resending import sent

from deploy.embedded import servers
from deploy.embedded.kept import KeptServers
from deploy.embedded.ports import any_free_port
from deploy.embedded.servers import Child
from schemas.errors import StoreUnavailable
from schemas.settings import Settings
from sinks.kafka import Producer, ensure_topics

START_PATIENCE_S = 90.0


def embedded(folder: Path) -> tuple[Child, int]:
    """Describe an embedded broker."""
    port = any_free_port()
    return servers.broker(folder, port), port


def apache(folder: Path) -> tuple[Child, int]:
    """Describe an Apache Kafka, which keeps its log over a restart."""
    port, controller_port = any_free_port(), any_free_port()
    script = Path(os.environ["APACHE_KAFKA_DIR"]).absolute() / "start"
    argv = [str(script), str(folder / "data"), str(port), str(controller_port)]
    return Child("kafka", argv, str(folder), str(folder / "kafka.log"), "SIGKILL"), port


async def ready(settings: Settings) -> None:
    """Wait until the broker leads all topics."""
    async with asyncio.timeout(START_PATIENCE_S):
        while True:
            try:
                await ensure_topics(settings)
                return
            except StoreUnavailable:
                await asyncio.sleep(0.1)


@pytest.mark.parametrize("describe", [embedded, pytest.param(apache, marks=pytest.mark.kafka)])
async def test_the_producer_outlives_its_broker(describe: object, tmp_path: Path) -> None:
    """While it is away each send says try later, in time; once it is back sends succeed, one after the other."""
    child, port = describe(tmp_path)  # type: ignore[operator]
    settings = Settings(kafka_brokers=f"127.0.0.1:{port}", _env_file=None)
    producer = Producer(settings, delivery_timeout_s=1.0)
    async with KeptServers([child]):
        await ready(settings)
        await producer.start()
        assert producer.idempotent == (describe is apache), "also when the broker has only just started"
        await sent(producer, "health", b"before", partition=0)
    for _ in range(2):
        async with asyncio.timeout(60):
            with pytest.raises(StoreUnavailable):
                await producer.send("health", b"meanwhile", partition=0)
    async with KeptServers([child]):
        await ready(settings)
        offsets = [(await sent(producer, "health", b"after", partition=0)).offset for _ in range(3)]
    assert offsets == sorted(set(offsets)), "in the order they were sent"
    async with asyncio.timeout(60):
        with pytest.raises(StoreUnavailable):
            await producer.send("health", b"away again", partition=0)
        await producer.stop()
