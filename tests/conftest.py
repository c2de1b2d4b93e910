"""Fixtures that bring real services: one embedded stack a session, and what keeps tests apart on it.

=================  =======================================================================================
`stack`            session: Settings of the running embedded stack (shared broker, Postgres, Valkey, chDB)
`settings`         a test's own: new Postgres database, ClickHouse database, Redis database, consumer group
                   and data folder, on the shared broker (whose topics the tests share)
`own_broker`       like `settings`, with an empty embedded broker of its own
`broker`           like `own_broker`, run once on the embedded broker and once on Apache Kafka where there is one
`own_kafka`        like `own_broker`, with Apache Kafka, emptied (marker ``kafka``)
`apache_kafka`     session: bootstrap address of an Apache Kafka (marker ``kafka``)
`fleet`            session: starts workers as processes that may be killed
=================  =======================================================================================

chDB allows one folder per process, so every test of a session uses the folder of `stack`, in its own database.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from aiokafka.admin import AIOKafkaAdminClient
from fleet import Fleet
from handing_out import TIMED, Groups, group_of, turn_of
from own_stores import own_stores

from deploy.embedded import EmbeddedStack
from deploy.embedded.kept import KeptServers
from deploy.embedded.ports import any_free_port
from deploy.embedded.servers import Child
from schemas.settings import Settings

NEEDS = {
    "kafka": "APACHE_KAFKA_DIR",
    "otelcol": "OTELCOL_DIR",
    "recordings": "INCIDENTSCOPE_RECORDINGS",
    "long": "FAULTS_LONG",
}
"""Markers, and the variable that must be set (most name a folder) for their tests to run."""

KAFKA_PATIENCE_S = 120.0

hypothesis.settings.register_profile("patient", hypothesis.settings(), deadline=None)  # no test asserts a time
hypothesis.settings.load_profile("patient")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # As in a shell's background job; children that are to end by it would ignore it too.
    signal.signal(signal.SIGINT, signal.default_int_handler)

for name in [name for name in os.environ if name.startswith("INCIDENTSCOPE_") and name not in NEEDS.values()]:
    del os.environ[name]  # a developer's own settings must not reach the tests


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Groups:
    """Let several processes share the suite by groups; pytest 9.2 forgets the names xdist gives them itself."""
    config.option.loadscopereorder = False
    return Groups(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put first what begins first; skip what needs something this machine does not name."""
    items.sort(key=lambda item: turn_of(group_of(item.nodeid)))
    for item in items:
        for marker, variable in NEEDS.items():
            if item.get_closest_marker(marker) and not os.environ.get(variable):
                item.add_marker(pytest.mark.skip(reason=f"{variable} is not set"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Let a process beside others have what a test that is timed leaves over."""
    if "PYTEST_XDIST_WORKER" in os.environ and group_of(item.nodeid) != TIMED:
        _give_way()


@cache
def _give_way() -> None:
    # Linux weighs sessions before it weighs processes, so this one leaves the session of those it gives way to.
    os.setsid()
    os.nice(19)
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text("19")


@pytest.fixture(scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Settings]:
    """Run the embedded stack for the session; give its settings."""
    folder = tmp_path_factory.mktemp("stack")
    async with EmbeddedStack(Settings(data_dir=folder, _env_file=None), throwaway=True) as settings:
        yield settings


@pytest.fixture
async def settings(stack: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Give settings with empty databases of their own on the shared stack."""
    async with own_stores(stack, tmp_path / "data") as own:
        yield own


@pytest.fixture
async def own_broker(settings: Settings, tmp_path: Path) -> AsyncIterator[Settings]:
    """Give settings with an empty embedded broker of their own."""
    only_broker = settings.model_copy(update={"kafka_brokers": "", "data_dir": tmp_path / "broker"})
    async with EmbeddedStack(only_broker, throwaway=True) as with_broker:
        yield settings.model_copy(update={"kafka_brokers": with_broker.kafka_brokers})


@pytest.fixture
async def own_kafka(settings: Settings, apache_kafka: str) -> Settings:
    """Give settings with Apache Kafka, emptied."""
    await _delete_topics(apache_kafka)
    return settings.model_copy(update={"kafka_brokers": apache_kafka})


@pytest.fixture(params=["own_broker", pytest.param("own_kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest) -> Settings:
    """Give settings with an empty broker: once the embedded one, once Apache Kafka where it is available."""
    settings: Settings = request.getfixturevalue(request.param)
    return settings


@pytest.fixture(scope="session")
async def apache_kafka(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[str]:
    """Run an Apache Kafka for the session; give its bootstrap address."""
    folder = tmp_path_factory.mktemp("kafka")
    port, controller_port = any_free_port(), any_free_port()
    log = folder / "kafka.log"
    argv = [_kafka_start_script(), str(folder / "data"), str(port), str(controller_port)]
    async with KeptServers([Child("kafka", argv, str(folder), str(log))]) as kept:
        await _until_logged(log, "Kafka Server started", kept)
        yield f"127.0.0.1:{port}"


@pytest.fixture(scope="session")
async def fleet(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fleet]:
    """Give what starts workers."""
    async with Fleet(tmp_path_factory.mktemp("fleet")) as started:
        yield started


def _kafka_start_script() -> str:
    return str(Path(os.environ["APACHE_KAFKA_DIR"]).absolute() / "start")


async def _until_logged(log: Path, text: str, kept: KeptServers) -> None:
    async with asyncio.timeout(KAFKA_PATIENCE_S):
        while text not in _text_of(log):
            assert not kept.ended, _text_of(log)[-2000:]
            await asyncio.sleep(0.2)


def _text_of(path: Path) -> str:
    return path.read_text(errors="replace") if path.exists() else ""


async def _delete_topics(address: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=address)
    await admin.start()
    try:
        while topics := [topic for topic in await admin.list_topics() if not topic.startswith("__consumer")]:
            await admin.delete_topics(topics)
    finally:
        await admin.close()
