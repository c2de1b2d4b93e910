"""The embedded stack: real servers, on one folder, that end with us."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from redis.asyncio import Redis

from deploy.embedded import EmbeddedStack, attached
from deploy.embedded.folder import Memory
from deploy.embedded.ports import is_free
from schemas.errors import SetupError
from schemas.settings import Settings

CHILD = Path(__file__).with_name("stack_child.py")
PROJECT = str(Path(__file__).parents[2])
PATIENCE_S = 90.0


async def test_postgres_has_our_database_and_pgvector(settings: Settings) -> None:
    """The embedded PostgreSQL is empty, ours, and can search vectors."""
    connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
    await connection.execute("CREATE EXTENSION vector")
    assert await connection.fetchval("SELECT '[1,2,3]'::vector <-> '[1,2,4]'::vector") == 1.0
    await connection.close()


async def test_valkey_asks_for_its_password(settings: Settings) -> None:
    """The embedded Valkey answers to our URL."""
    async with Redis.from_url(settings.redis_url.get_secret_value()) as client:
        assert await client.set("a", "1")


async def test_the_broker_takes_records(broker: Settings) -> None:
    """A broker fixture starts empty, takes a topic and a record."""
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.kafka_brokers)
    await admin.start()
    assert [topic for topic in await admin.list_topics() if not topic.startswith("__")] == []  # nobody's but Kafka's
    await admin.create_topics([NewTopic("greetings", 1, 1)])
    await admin.close()
    async with AIOKafkaProducer(bootstrap_servers=broker.kafka_brokers) as producer:
        sent = await producer.send_and_wait("greetings", b"hello", headers=[("x-tenant-id", b"a")])
    assert sent.offset == 0


@dataclass
class Holder:
    """A process that holds a stack, and the processes of that stack."""

    process: asyncio.subprocess.Process
    pids: dict[str, int]
    kafka: str

    def alive(self) -> set[str]:
        """Name what is still running of the stack."""
        return {name for name, pid in self.pids.items() if is_running(pid)}


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that is dead and only waits to be collected does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # gone before the file was opened, or while it was read
        return False


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition."""
    async with asyncio.timeout(PATIENCE_S):
        while not condition():  # noqa: ASYNC110 - other processes set no event of ours
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def holder_on(folder: Path) -> AsyncIterator[Holder]:
    """Run another process with a stack on ``folder``."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(CHILD), str(folder),
        stdout=asyncio.subprocess.PIPE, env={**os.environ, "PYTHONPATH": PROJECT}, start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdout is not None
        facts = json.loads(await asyncio.wait_for(process.stdout.readline(), PATIENCE_S))
        yield Holder(process, **facts)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGABRT])
async def test_the_servers_end_with_their_parent_however_it_ends(tmp_path: Path, ending: signal.Signals) -> None:
    """kill -9, SIGTERM, Ctrl-C, a crash: no server outlives us, and the broker's log is saved."""
    async with holder_on(tmp_path) as holder:
        assert holder.alive() == {"keeper", "broker", "broker_door", "postgres", "valkey"}
        holder.process.send_signal(ending)
        await holder.process.wait()
        await until(lambda: not holder.alive())
    assert (tmp_path / "broker" / "log").exists()


async def test_ctrl_c_of_the_whole_process_group_lets_the_log_be_saved(tmp_path: Path) -> None:
    """A terminal sends SIGINT to everybody in the foreground; the servers are not in that group."""
    async with holder_on(tmp_path) as holder:
        os.killpg(holder.process.pid, signal.SIGINT)
        await holder.process.wait()
        await until(lambda: not holder.alive())
    assert (tmp_path / "broker" / "log").exists()


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux")
async def test_the_servers_end_with_their_keeper(tmp_path: Path) -> None:
    """Killing the keeper leaves no server behind either."""
    async with holder_on(tmp_path) as holder:
        os.kill(holder.pids["keeper"], signal.SIGKILL)
        await until(lambda: not holder.alive())


async def test_a_second_start_reuses_the_data_after_kill_9(tmp_path: Path) -> None:
    """The lock of a dead owner is taken over, and what PostgreSQL committed is there."""
    async with holder_on(tmp_path) as holder:
        settings = attached(Settings(data_dir=tmp_path, _env_file=None))
        assert settings is not None
        assert settings.kafka_brokers == holder.kafka
        connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
        await connection.execute("CREATE TABLE kept (x int); INSERT INTO kept VALUES (7)")
        await connection.close()
        holder.process.kill()
        await holder.process.wait()
        stack = EmbeddedStack(Settings(data_dir=tmp_path, _env_file=None))
        async with stack as again:
            assert stack.kafka_address == holder.kafka
            connection = await asyncpg.connect(again.postgres_dsn.get_secret_value())
            assert await connection.fetchval("SELECT x FROM kept") == 7
            await connection.close()


async def test_a_folder_in_use_is_refused_and_names_its_owner(tmp_path: Path) -> None:
    """Two stacks on one folder would destroy each other's data."""
    async with holder_on(tmp_path) as holder:
        with pytest.raises(SetupError, match=f"in use by process {holder.process.pid}") as refusal:
            async with EmbeddedStack(Settings(data_dir=tmp_path, _env_file=None)):
                pass
    assert "INCIDENTSCOPE_DATA_DIR" in refusal.value.remedy


async def test_a_port_that_was_taken_meanwhile_is_replaced(tmp_path: Path) -> None:
    """Nothing of ours insists on a port; the settings name the new one."""
    services = Settings(data_dir=tmp_path, clickhouse_dsn="x", postgres_dsn="x", redis_url="x", _env_file=None)
    async with EmbeddedStack(services, throwaway=True) as first:
        port = int(first.kafka_brokers.rpartition(":")[2])
    with socket.create_server(("127.0.0.1", port)):
        assert not is_free(port)
        async with EmbeddedStack(services, throwaway=True) as second:
            assert second.kafka_brokers != first.kafka_brokers


async def test_a_door_whose_port_is_taken_while_the_stack_starts_opens_elsewhere(tmp_path: Path) -> None:
    """PostgreSQL takes seconds to start; who starts beside us may take the usual port in that time."""
    services = Settings(data_dir=tmp_path, clickhouse_dsn="x", redis_url="x", _env_file=None)
    async with EmbeddedStack(services) as _:
        port = Memory(tmp_path).facts["door_port"]
    shutil.rmtree(tmp_path / "postgres")  # to be made anew, which takes a while
    stack = EmbeddedStack(services)
    starting = asyncio.create_task(stack.__aenter__())
    try:
        await until(lambda: "broker" in stack.pids)
        with socket.create_server(("127.0.0.1", port)):
            await starting
            assert stack.kafka_address != f"127.0.0.1:{port}"
            assert stack.pids.keys() >= {"broker_door"}
            assert await stack.broker_records() == 0
    finally:
        await asyncio.wait([starting])
        await stack.__aexit__(None, None, None)


async def test_a_server_that_cannot_start_is_explained(tmp_path: Path) -> None:
    """The error has the end of the server's own log and a way out."""
    services = Settings(data_dir=tmp_path, clickhouse_dsn="x", kafka_brokers="x", redis_url="x", _env_file=None)
    async with EmbeddedStack(services, throwaway=True):
        pass
    (tmp_path / "postgres" / "data" / "PG_VERSION").write_text("9\n")
    with pytest.raises(SetupError, match="did not start") as refusal:
        async with EmbeddedStack(services, throwaway=True):
            pass
    assert "INCIDENTSCOPE_POSTGRES_DSN" in refusal.value.remedy
    assert "incompatible" in refusal.value.problem


async def test_secrets_of_the_stack_are_for_its_owner_only(tmp_path: Path) -> None:
    """Passwords are in files that nobody else may read."""
    services = Settings(data_dir=tmp_path, clickhouse_dsn="x", kafka_brokers="x", postgres_dsn="x", _env_file=None)
    async with EmbeddedStack(services, throwaway=True):
        for path in (tmp_path / "stack.json", tmp_path / "valkey" / "valkey.conf"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only root has folders that PostgreSQL's user cannot pass")
async def test_a_closed_folder_of_root_stays_closed(tmp_path: Path) -> None:
    """PostgreSQL runs as another user, below a folder that is nobody else's business."""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    services = Settings(data_dir=closed / "d", clickhouse_dsn="x", kafka_brokers="x", redis_url="x", _env_file=None)
    async with EmbeddedStack(services, throwaway=True) as settings:
        connection = await asyncpg.connect(settings.postgres_dsn.get_secret_value())
        await connection.execute("CREATE TABLE kept (x int)")
        await connection.close()
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
