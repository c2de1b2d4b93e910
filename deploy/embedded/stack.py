"""Start the servers that the settings leave empty, and hand back settings that name them.

::

    async with EmbeddedStack(settings) as settings:      # broker, PostgreSQL, Valkey up; chDB path named
        ...
    # all of them ended; also after Ctrl-C, SIGTERM, a crash or kill -9 of this process (see keeper.py)

    this process ──────────────▶ broker      the settings name the broker itself
    everybody else ──▶ door ────▶ broker      a Kafka proxy on the port people know; closed while the log is moved
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import structlog
from pydantic import SecretStr

from deploy.embedded import ready, servers
from deploy.embedded.broker_log import BrokerLog
from deploy.embedded.folder import FolderLock, Memory
from deploy.embedded.kept import KeptServers
from deploy.embedded.ports import any_free_port, is_free
from schemas.errors import SetupError, StoreUnavailable
from schemas.settings import Settings

START_PATIENCE_S = 60.0
KAFKA_PORT = 9092
"""Where the embedded broker listens when it can, because that is where people look for Kafka."""

log = structlog.get_logger()

Probe = Callable[[], Awaitable[None]]


@dataclass(slots=True)
class _Plan:
    """What is to be run, the settings it fills, and how to tell that each server is ready."""

    children: list[servers.Child] = field(default_factory=list)
    filled: dict[str, Any] = field(default_factory=dict)
    probes: dict[str, Probe] = field(default_factory=dict)


@dataclass(slots=True)
class _KeptBroker:
    """A broker whose log outlives it, and its door."""

    log: BrokerLog
    child: servers.Child
    door: servers.Child
    probe: Probe
    door_probe: Probe
    records_at_start: int = 0


class EmbeddedStack:
    """Embedded servers under ``settings.data_dir``, as long as the context is open.

    Only what the settings leave empty is started. Entering returns a copy of the settings with the addresses
    filled in. Raises `SetupError` when the folder is in use, or a server does not start.

    A ``throwaway`` stack, for tests, takes any free ports, has no door and saves no broker log.
    """

    def __init__(self, settings: Settings, *, throwaway: bool = False) -> None:
        self.settings = settings
        self.throwaway = throwaway
        self.folder = settings.data_dir.absolute()
        self.kafka_address = settings.kafka_brokers
        self._kept: KeptServers | None = None
        self._broker: _KeptBroker | None = None
        self._cleanup = AsyncExitStack()

    @property
    def pids(self) -> dict[str, int]:
        """The process ids of the running servers by name, the keeper included."""
        return {"keeper": self._kept.keeper_pid, **self._kept.pids} if self._kept is not None else {}

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
        lock = await self._cleanup.enter_async_context(FolderLock(self.folder))
        memory = Memory(self.folder)
        plan = await asyncio.to_thread(self._plan, memory)
        filled = self.settings.model_copy(update=plan.filled)
        keeps_log = "kafka_brokers" in plan.filled and not self.throwaway
        broker_log = BrokerLog(self.folder / "broker", filled) if keeps_log else None
        if broker_log is not None and broker_log.begin():
            memory.facts["broker_generation"] = memory.facts.get("broker_generation", 0) + 1
            log.warning("broker_log_lost", generation=memory.facts["broker_generation"])
        memory.save()
        if plan.children:
            saver = broker_log.saver() if broker_log is not None else None
            kept = KeptServers(plan.children, before_stop=saver, hold_open=[lock.file_descriptor])
            self._kept = await self._cleanup.enter_async_context(kept)
        for name, probe in plan.probes.items():  # they start side by side, so waiting in turn costs nothing
            await self._until_ready(name, probe)
        if broker_log is not None:
            await self._open_broker(broker_log, plan, memory)
        return filled

    async def _open_broker(self, broker_log: BrokerLog, plan: _Plan, memory: Memory) -> None:
        """Put the log back, and let the world in."""
        await broker_log.restore(memory.facts.get("broker_generation", 0))
        child = next(child for child in plan.children if child.name == "broker")
        door_port = self._port(memory, "door", KAFKA_PORT)  # now: starting took a while, and others start as well
        memory.save()
        door = servers.broker_door(self.folder / "broker", door_port, memory.facts["broker_port"])
        self._broker = _KeptBroker(broker_log, child, door, plan.probes["broker"], lambda: ready.answers(door_port))
        await self._open_door(self._broker)
        self.kafka_address = f"127.0.0.1:{door_port}"

    async def _open_door(self, broker: _KeptBroker) -> None:
        assert self._kept is not None
        await self._kept.start(broker.door)
        await self._until_ready("broker_door", broker.door_probe)
        broker.records_at_start = await broker.log.count()

    async def broker_records(self) -> int:
        """Return how many records the embedded broker took in its present life; 0 when there is no such broker.

        Raises `StoreUnavailable` when one of the servers has ended by itself.
        """
        for name, status in self._kept.ended.items() if self._kept is not None else ():
            raise StoreUnavailable(f"the embedded {name} ended with status {status}; its log: {self._log_of(name)}")
        return await self._broker.log.count() - self._broker.records_at_start if self._broker is not None else 0

    async def renew_broker(self) -> None:
        """Give the broker a new life with only what is needed of its log, at the same address and offsets.

        The broker never deletes anything by itself, and each fetch looks through all it has. The caller has
        closed its own clients; others wait at the door for a second or two and lose nothing.
        """
        assert self._kept is not None
        assert self._broker is not None
        await self._kept.stop(self._broker.door.name)
        await self._broker.log.save()
        await self._kept.stop(self._broker.child.name)
        self._broker.log.begin()
        await self._kept.start(self._broker.child)
        await self._until_ready("broker", self._broker.probe)
        await self._broker.log.restore(generation=0)  # not asked for: the log is there
        await self._open_door(self._broker)

    def _plan(self, memory: Memory) -> _Plan:
        plan = _Plan()
        if not self.settings.kafka_brokers:
            self._plan_broker(plan, memory)
        if not self.settings.postgres_dsn.get_secret_value():
            self._plan_postgres(plan, memory)
        if not self.settings.redis_url.get_secret_value():
            self._plan_valkey(plan, memory)
        if not self.settings.clickhouse_dsn.get_secret_value():
            path = self.folder / "clickhouse"
            path.mkdir(exist_ok=True)
            plan.filled["clickhouse_dsn"] = SecretStr(f"chdb://{path}")
        return plan

    def _plan_broker(self, plan: _Plan, memory: Memory) -> None:
        port = self._port(memory, "broker") if self.throwaway else any_free_port()
        memory.facts["broker_port"] = port
        plan.children.append(servers.broker(self.folder / "broker", port))
        plan.filled["kafka_brokers"] = f"127.0.0.1:{port}"
        plan.filled["kafka_check_crcs"] = False  # from memory to memory
        plan.probes["broker"] = lambda: ready.answers(port)

    def _plan_postgres(self, plan: _Plan, memory: Memory) -> None:
        port, password = self._port(memory, "postgres"), memory.password("postgres")
        memory.save()  # the cluster is made with this password: remember it first
        address = _postgres_address(memory)
        plan.children.append(servers.postgres(self.folder / "postgres", port, password))
        plan.filled["postgres_dsn"] = SecretStr(f"{address}/{ready.DATABASE}")
        plan.probes["postgres"] = lambda: ready.postgres_has_our_database(address)

    def _plan_valkey(self, plan: _Plan, memory: Memory) -> None:
        port, password = self._port(memory, "valkey"), memory.password("valkey")
        url = _valkey_url(memory)
        plan.children.append(servers.valkey(self.folder / "valkey", port, password))
        plan.filled["redis_url"] = SecretStr(url)
        plan.probes["valkey"] = lambda: ready.valkey_answers(url)

    def _port(self, memory: Memory, name: str, usual_port: int = 0) -> int:
        """Choose a port: the one of the last start when it is free, the usual one, or any free one."""
        wishes = [memory.facts.get(f"{name}_port", 0), 0 if self.throwaway else usual_port]
        port = next((wish for wish in wishes if wish and is_free(wish)), 0) or any_free_port()
        if wishes[0] and port != wishes[0]:
            log.warning("port_taken", server=name, usual_port=wishes[0], port=port)
        memory.facts[f"{name}_port"] = port
        return port

    async def _until_ready(self, name: str, probe: Probe) -> None:
        """Probe a server until it answers. Raises `SetupError` with the end of its log when it does not."""
        assert self._kept is not None
        deadline_s = time.monotonic() + START_PATIENCE_S
        while True:
            try:
                return await asyncio.wait_for(probe(), 5.0)
            except ready.NOT_YET as error:
                if name in self._kept.ended or time.monotonic() > deadline_s:
                    raise self._did_not_start(name, self._kept.ended.get(name), error) from error
            await asyncio.sleep(0.05)

    def _log_of(self, name: str) -> Path:
        return self.folder / name.partition("_")[0] / f"{name}.log"

    def _did_not_start(self, name: str, status: int | None, error: BaseException) -> SetupError:
        path = self._log_of(name)
        lines = path.read_text(errors="replace").splitlines()[-5:] if path.exists() else []
        ended = f" (it ended with status {status})" if status is not None else ""
        setting = {"postgres": "POSTGRES_DSN", "valkey": "REDIS_URL"}.get(name, "KAFKA_BROKERS")
        return SetupError(
            "\n".join([f"the embedded {name} did not start{ended}: {error}", *lines]),
            f"read {path}; or set INCIDENTSCOPE_{setting} to use a server of yours",
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
    if not settings.kafka_brokers and "door_port" in memory.facts:
        filled["kafka_brokers"] = f"127.0.0.1:{memory.facts['door_port']}"
    if not settings.postgres_dsn.get_secret_value() and "postgres_port" in memory.facts:
        filled["postgres_dsn"] = SecretStr(f"{_postgres_address(memory)}/{ready.DATABASE}")
    if not settings.redis_url.get_secret_value() and "valkey_port" in memory.facts:
        filled["redis_url"] = SecretStr(_valkey_url(memory))
    return settings.model_copy(update=filled)


def _postgres_address(memory: Memory) -> str:
    return f"postgresql://postgres:{memory.password('postgres')}@127.0.0.1:{memory.facts['postgres_port']}"


def _valkey_url(memory: Memory) -> str:
    return f"redis://:{memory.password('valkey')}@127.0.0.1:{memory.facts['valkey_port']}/0"
