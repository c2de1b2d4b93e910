"""Start the servers that the settings leave empty, and hand back settings that name them.

::

    async with EmbeddedStack(settings) as settings:      # broker, PostgreSQL, Valkey up; chDB path named
        ...
    # all of them ended; also after Ctrl-C, SIGTERM, a crash or kill -9 of this process (see keeper.py)
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from types import TracebackType
from typing import Any

import asyncpg
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.exceptions import RedisError

from deploy.embedded import servers
from deploy.embedded.folder import FolderLock, Memory
from deploy.embedded.kept import KeptServers
from schemas.errors import SetupError
from schemas.settings import Settings

DATABASE = "incidentscope"
START_PATIENCE_S = 60.0
PREFERRED_PORTS = {"broker": 9092}


class EmbeddedStack:
    """Embedded servers under ``settings.data_dir``, as long as the context is open.

    Only what the settings leave empty is started. Entering returns a copy of the settings with the addresses
    filled in. Raises `SetupError` when the folder is in use, a server does not start, or a port is taken.
    """

    def __init__(self, settings: Settings, *, preferred_ports: bool = True) -> None:
        self.settings = settings
        self.folder = settings.data_dir.absolute()
        self.kept: KeptServers | None = None
        self._preferred_ports = preferred_ports
        self._cleanup = AsyncExitStack()

    async def __aenter__(self) -> Settings:
        try:
            return await self._start()
        except BaseException:
            await self._cleanup.aclose()
            raise

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._cleanup.aclose()

    async def _start(self) -> Settings:
        lock = await asyncio.to_thread(FolderLock(self.folder).__enter__)
        self._cleanup.push(lock)
        memory = Memory(self.folder)
        children, filled, probes = await asyncio.to_thread(self._plan, memory)
        memory.save()
        if children:
            self.kept = await self._cleanup.enter_async_context(KeptServers(children, [lock.file_descriptor]))
        for name, probe in probes.items():  # they start side by side, so waiting in turn costs nothing
            await self._until_ready(name, probe)
        return self.settings.model_copy(update=filled)

    def _plan(
        self, memory: Memory
    ) -> tuple[list[servers.Child], dict[str, Any], dict[str, Callable[[], Awaitable[None]]]]:
        """Decide which servers to run; return them, the settings they fill, and how to tell that each is ready."""
        children: list[servers.Child] = []
        filled: dict[str, Any] = {}
        probes: dict[str, Callable[[], Awaitable[None]]] = {}
        if not self.settings.kafka_brokers:
            port = self._port(memory, "broker")
            children.append(servers.broker(self.folder / "broker", port))
            filled["kafka_brokers"] = f"127.0.0.1:{port}"
            probes["broker"] = lambda: _probe_port(port)
        if not self.settings.postgres_dsn.get_secret_value():
            children.append(self._plan_postgres(memory, filled, probes))
        if not self.settings.redis_url.get_secret_value():
            children.append(self._plan_valkey(memory, filled, probes))
        if not self.settings.clickhouse_dsn.get_secret_value():
            path = self.folder / "clickhouse"
            path.mkdir(exist_ok=True)
            filled["clickhouse_dsn"] = SecretStr(f"chdb://{path}")
        return children, filled, probes

    def _plan_postgres(self, memory: Memory, filled: dict[str, Any], probes: dict[str, Any]) -> servers.Child:
        port, password = self._port(memory, "postgres"), memory.password("postgres")
        memory.save()  # the cluster is made with this password: remember it first
        address = _postgres_address(memory)
        filled["postgres_dsn"] = SecretStr(f"{address}/{DATABASE}")
        probes["postgres"] = lambda: _probe_postgres(f"{address}/postgres")
        return servers.postgres(self.folder / "postgres", port, password)

    def _plan_valkey(self, memory: Memory, filled: dict[str, Any], probes: dict[str, Any]) -> servers.Child:
        port, password = self._port(memory, "valkey"), memory.password("valkey")
        url = _valkey_url(memory)
        filled["redis_url"] = SecretStr(url)
        probes["valkey"] = lambda: _probe_valkey(url)
        return servers.valkey(self.folder / "valkey", port, password)

    def _port(self, memory: Memory, name: str) -> int:
        """Choose a port: the one of the last start when it is free, a well-known one, or any free one."""
        wishes = [memory.facts.get(f"{name}_port", 0)]
        if self._preferred_ports:
            wishes.append(PREFERRED_PORTS.get(name, 0))
        port = next((wish for wish in wishes if wish and is_free(wish)), 0) or any_free_port()
        memory.facts[f"{name}_port"] = port
        return port

    async def _until_ready(self, name: str, probe: Callable[[], Awaitable[None]]) -> None:
        """Probe a server until it answers. Raises `SetupError` with the end of its log when it does not."""
        ended = self.kept.ended if self.kept is not None else {}
        deadline_s = time.monotonic() + START_PATIENCE_S
        while True:
            try:
                return await asyncio.wait_for(probe(), 5.0)
            except (OSError, TimeoutError, asyncpg.PostgresError, RedisError) as error:
                if name in ended or time.monotonic() > deadline_s:
                    raise self._did_not_start(name, ended.get(name), error) from error
            await asyncio.sleep(0.05)

    def _did_not_start(self, name: str, status: int | None, error: BaseException) -> SetupError:
        log = self.folder / name / f"{name}.log"
        lines = log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
        ended = f" (it ended with status {status})" if status is not None else ""
        setting = {"broker": "KAFKA_BROKERS", "postgres": "POSTGRES_DSN", "valkey": "REDIS_URL"}[name]
        return SetupError(
            f"the embedded {name} did not start{ended}: {error}\n" + "\n".join(lines),
            f"read {log}; or set INCIDENTSCOPE_{setting} to use a server of yours",
        )


def attached(settings: Settings) -> Settings | None:
    """Return settings that name the servers of the stack running on ``settings.data_dir``, or None if none runs.

    For other processes beside it. Its ClickHouse stays empty: chDB allows one process per folder.
    """
    folder = settings.data_dir.absolute()
    if not FolderLock(folder).is_held():
        return None
    memory = Memory(folder)
    filled: dict[str, Any] = {}
    if not settings.kafka_brokers and "broker_port" in memory.facts:
        filled["kafka_brokers"] = f"127.0.0.1:{memory.facts['broker_port']}"
    if not settings.postgres_dsn.get_secret_value() and "postgres_port" in memory.facts:
        filled["postgres_dsn"] = SecretStr(f"{_postgres_address(memory)}/{DATABASE}")
    if not settings.redis_url.get_secret_value() and "valkey_port" in memory.facts:
        filled["redis_url"] = SecretStr(_valkey_url(memory))
    return settings.model_copy(update=filled)


def _postgres_address(memory: Memory) -> str:
    return f"postgresql://postgres:{memory.password('postgres')}@127.0.0.1:{memory.facts['postgres_port']}"


def _valkey_url(memory: Memory) -> str:
    return f"redis://:{memory.password('valkey')}@127.0.0.1:{memory.facts['valkey_port']}/0"


def is_free(port: int) -> bool:
    """Tell whether a loopback TCP port can be listened on."""
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def any_free_port() -> int:
    """Return a loopback TCP port that is free at this moment."""
    with socket.socket() as candidate:
        candidate.bind(("127.0.0.1", 0))
        return int(candidate.getsockname()[1])


async def _probe_port(port: int) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()


async def _probe_postgres(dsn: str) -> None:
    """Connect and make sure that our database exists."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
            await connection.execute(f'CREATE DATABASE "{DATABASE}"')
    finally:
        await connection.close()


async def _probe_valkey(url: str) -> None:
    async with Redis.from_url(url) as client:
        await client.ping()
