"""Fixtures for faults: a ClickHouse of its own process, and settings whose worker can be killed without it."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import clickhouse_connect
import httpx
import pytest
from proxied_stores import Proxied, behind_proxies
from pydantic import SecretStr
from report import Report

from deploy.embedded.kept import KeptServers
from deploy.embedded.ports import any_free_port
from deploy.embedded.servers import Child
from schemas.settings import Settings

NAMES = {"own_broker": "embedded", "own_kafka": "Apache Kafka"}
SESSION_S = {"embedded": 2.0, "Apache Kafka": 6.0}
"""The shortest sessions: Apache Kafka refuses less; the embedded broker lets a new member wait half of it."""
PARTITIONS = 4
START_PATIENCE_S = 60.0


@pytest.fixture(scope="session")
async def clickhouse_port(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[int]:
    """Run ClickHouse as a process of its own for the session; give its port."""
    folder, port = tmp_path_factory.mktemp("clickhouse"), any_free_port()
    program = Path(__file__).with_name("clickhouse_server.py")
    argv = [sys.executable, str(program), str(folder / "data"), str(port)]
    async with KeptServers([Child("clickhouse", argv, str(folder), str(folder / "clickhouse.log"))]) as kept:
        async with asyncio.timeout(START_PATIENCE_S):
            while not await asyncio.to_thread(_answers, port):
                assert not kept.ended, (folder / "clickhouse.log").read_text()
                await asyncio.sleep(0.1)
        yield port


@pytest.fixture
def broker_name(request: pytest.FixtureRequest) -> str:
    """Name the broker of a test that runs on each in turn."""
    return NAMES[request.node.callspec.params["broker"]]


@pytest.fixture
def killable(broker: Settings, broker_name: str, clickhouse_port: int, tmp_path: Path) -> Settings:
    """Give settings for workers that share all stores and may be killed, on each broker in turn."""
    settings = settings_for_workers(broker, clickhouse_port, tmp_path)
    return settings.model_copy(update={"session_timeout_s": SESSION_S[broker_name]})


@pytest.fixture
def one_broker(own_broker: Settings, clickhouse_port: int, tmp_path: Path) -> Settings:
    """Give settings like `killable`, on the embedded broker alone."""
    return settings_for_workers(own_broker, clickhouse_port, tmp_path)


@pytest.fixture
async def proxied(one_broker: Settings) -> AsyncIterator[Proxied]:
    """Give the same settings with a proxy before each store."""
    async with behind_proxies(one_broker) as proxied:
        yield proxied


def settings_for_workers(settings: Settings, clickhouse_port: int, folder: Path) -> Settings:
    """Return settings with a ClickHouse database of their own on the server at this port."""
    database = settings.consumer_group
    statement(clickhouse_port, f"DROP DATABASE IF EXISTS {database}")
    statement(clickhouse_port, f"CREATE DATABASE {database}")
    return settings.model_copy(
        update={
            "partitions": PARTITIONS,
            "data_dir": folder / "worker",
            "clickhouse_dsn": SecretStr(clickhouse_dsn(clickhouse_port, database)),
            "session_timeout_s": SESSION_S["embedded"],
            "flush_interval_s": 0.3,
            "insert_wait_s": 0.5,
            "tick_interval_s": 1.0,
        }
    )


def clickhouse_dsn(port: int, database: str = "default") -> str:
    """Return the address of a database of the server at this port."""
    return f"clickhouse://default:@127.0.0.1:{port}/{database}?compress=false"


def statement(port: int, sql: str) -> None:
    """Run a statement on the server at this port."""
    client = clickhouse_connect.get_client(dsn=clickhouse_dsn(port))
    try:
        client.command(sql)
    finally:
        client.close()


def _answers(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ping").is_success
    except httpx.HTTPError:
        return False


@pytest.fixture(scope="session")
def faults_report() -> Report:
    """Give the report that all tests of the session write."""
    return Report()
