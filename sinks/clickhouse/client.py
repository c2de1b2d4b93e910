"""A small asyncio client for ClickHouse, embedded (chDB) or a server, over clickhouse-connect.

::

    await ClickHouse.open("chdb:///folder")                      the engine in this process
    await ClickHouse.open("clickhouse://user:pw@host:8123/db")   a server over HTTP
    await ClickHouse.open("clickhouses://user:pw@host:8443/db")  a server over HTTPS

A connection serves one call at a time, in chDB and over HTTP, so each worker thread of a small pool has its own.
Of chDB a process can have one folder open, by any number of connections; a second folder is refused until all
connections to the first are closed. Statements run in threads: the event loop never waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import traceback
from collections.abc import Callable, Generator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self, TypeVar

import clickhouse_connect
from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import ClickHouseError
from clickhouse_connect.driver.exceptions import Error as DriverError

from schemas.errors import SetupError, StoreRejected, StoreUnavailable

Answer = TypeVar("Answer")
Settings = Mapping[str, Any]

# ClickHouse error codes (src/Common/ErrorCodes.cpp) that say "not now"; every other code says "never".
RETRYABLE_CODES = frozenset(
    {
        3, 159, 160, 173, 198, 201, 202, 203, 209, 210, 236, 241, 242, 243, 244, 252, 285, 286, 319, 335,
        394, 425, 473, 499, 516, 571, 594, 606, 692, 999,
    }
)  # fmt: skip

MEMORY_LIMIT_EXCEEDED = 241
TOO_MUCH_CODES = frozenset({159, 160, MEMORY_LIMIT_EXCEEDED})
"""Of statements that take longer, or more memory, than they may."""

CANNOT_READ_ALL_DATA = 33
SPARE_BYTES = 256 * 1024 * 1024
"""No allocation for one insert is larger than four times what was sent and this."""

MAX_ERROR_CHARS = 600


class ClickHouseRejected(StoreRejected):
    """ClickHouse refuses the statement or its data; ``code`` is its error code, or None."""

    def __init__(self, message: str, code: int | None) -> None:
        super().__init__(message)
        self.code = code


class ClickHouse:
    """A pool of connections to one ClickHouse. Safe to use from any task of any event loop."""

    def __init__(self, dsn: str, connections: int = 4) -> None:
        self._dsn = dsn
        self._local = threading.local()
        self._clients: list[Client] = []
        self._clients_lock = threading.Lock()
        self._threads = ThreadPoolExecutor(connections, thread_name_prefix="clickhouse")
        self.embedded = dsn.startswith("chdb:")

    @classmethod
    async def open(cls, dsn: str, connections: int = 4) -> Self:
        """Connect, and return once ClickHouse has answered. Raises `StoreUnavailable` when it does not.

        A DSN that cannot be read is a `SetupError`.
        """
        pool = cls(dsn, connections)
        try:
            await pool.command("SELECT 1")
        except BaseException:
            await pool.close()
            raise
        return pool

    async def close(self) -> None:
        """Let running statements end, then close every connection. An embedded folder is free afterwards."""
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    async def command(self, sql: str, parameters: Settings | None = None, settings: Settings | None = None) -> Any:
        """Run a statement that answers with at most one value, and return it."""
        return await self._call(lambda client: client.command(sql, _bound(parameters), settings=_plain(settings)))

    async def query(self, sql: str, parameters: Settings | None = None) -> list[dict[str, Any]]:
        """Run a SELECT whose ``{name:Type}`` placeholders are bound by ClickHouse; return rows by column name."""
        return await self._call(lambda client: list(client.query(sql, _bound(parameters)).named_results()))

    async def ask(self, sql: str, parameters: Settings | None = None) -> list[dict[str, Any]]:
        """Run a SELECT that is worth asking once: as `query`, but `StoreRejected` for too much time or memory."""
        try:
            return await self.query(sql, parameters)
        except StoreUnavailable as error:
            code = _code_of(error.__cause__)
            if code in TOO_MUCH_CODES:
                raise ClickHouseRejected(str(error), code) from error
            raise

    async def insert_rows(
        self, table: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], settings: Settings | None = None
    ) -> None:
        """Insert Python rows; none is nothing to do."""
        if rows:
            await self._call(
                lambda client: client.insert(table, rows, column_names=list(columns), settings=_plain(settings))
            )

    async def insert_bytes(self, table: str, block: bytes, fmt: str, settings: Settings | None = None) -> None:
        """Insert a block that is already in a ClickHouse input format."""
        await self._call(lambda client: client.raw_insert(table, None, block, _plain(settings), fmt), len(block))

    async def insert_pieces(
        self, table: str, pieces: Callable[[], Generator[bytes]], fmt: str, settings: Settings | None = None
    ) -> None:
        """Insert a block whose pieces are made, in the thread that sends them, when they are wanted."""
        await self._call(lambda client: client.raw_insert(table, None, pieces(), _plain(settings), fmt))

    async def _call(self, work: Callable[[Client], Answer], sent_bytes: int = 0) -> Answer:
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._guarded, work, sent_bytes)

    def _guarded(self, work: Callable[[Client], Answer], sent_bytes: int) -> Answer:
        try:
            return work(self._client())
        except DriverError as error:
            _forget_locals(error)
            self._replace_spoilt()
            raise _told_apart(error, sent_bytes) from error
        except (ClickHouseError, OSError) as error:
            _forget_locals(error)
            raise StoreUnavailable(_brief(error)) from error

    def _client(self) -> Client:
        client: Client | None = getattr(self._local, "client", None)
        if client is None:
            client = self._connected()
            self._local.client = client
            with self._clients_lock:
                self._clients.append(client)
        return client

    def _connected(self) -> Client:
        try:
            return clickhouse_connect.get_client(dsn=self._dsn, **self._options())
        except (TypeError, ValueError):  # not chained: the text may quote the DSN, and with it the password
            raise SetupError(
                "the ClickHouse DSN cannot be read",
                "set INCIDENTSCOPE_CLICKHOUSE_DSN=clickhouse://user:password@host:8123/database"
                " (special characters percent-encoded)",
            ) from None

    def _replace_spoilt(self) -> None:
        """Open another connection in place of one whose statement failed.

        chDB begins a connection's next answer with the rows that it had made before the failure, as if they were
        the answer's own. The new one comes first: the folder must not be without a connection.
        """
        spoilt: Client | None = getattr(self._local, "client", None)
        if not self.embedded or spoilt is None:
            return
        self._local.client = None
        with contextlib.suppress(ClickHouseError, OSError):
            self._client()
        with self._clients_lock:
            self._clients.remove(spoilt)
        spoilt.close()

    def _options(self) -> dict[str, Any]:
        if self.embedded:
            return {}
        return {
            "secure": self._dsn.startswith(("clickhouses:", "https:")),
            "connect_timeout": 5,
            "send_receive_timeout": 60,
            "query_retries": 0,
            "autogenerate_session_id": False,  # a session allows one statement at a time
        }

    def _close(self) -> None:
        self._threads.shutdown(wait=True)
        with self._clients_lock:
            while self._clients:
                self._clients.pop().close()


def _forget_locals(error: BaseException | None) -> None:
    """Let go of what was sent: errors of the HTTP client and its frames hold each other until somebody collects them.

    While ClickHouse is away every attempt fails, and each has an insert of megabytes in such a frame.
    """
    seen: set[int] = set()  # what caused what can be a circle
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        traceback.clear_frames(error.__traceback__)
        error = error.__cause__ or error.__context__


def _told_apart(error: DriverError, sent_bytes: int) -> StoreUnavailable | ClickHouseRejected:
    """Tell "try again" from "never": an error without ClickHouse's code came from the transport."""
    code = _code_of(error)
    if code == MEMORY_LIMIT_EXCEEDED and _wanted_bytes(str(error)) > 4 * sent_bytes + SPARE_BYTES and sent_bytes:
        return ClickHouseRejected(_brief(error), CANNOT_READ_ALL_DATA)
    if code is None or code in RETRYABLE_CODES:
        return StoreUnavailable(_brief(error))
    return ClickHouseRejected(_brief(error), code)


def _wanted_bytes(message: str) -> float:
    """Return the size of the allocation that was refused.

    ClickHouse makes room for a field before it reads it: of as many bytes as the field claims to have. So one
    damaged length ends as "memory limit exceeded", and would be tried again for ever.
    """
    found = re.search(r"allocate chunk of ([\d.]+) (bytes|[KMGTPE]?i?B)", message)
    if found is None:
        return 0.0
    return float(found[1]) * 1024.0 ** " KMGTPE".index(found[2][0] if found[2][0] in "KMGTPE" else " ")


def _code_of(error: BaseException | None) -> int | None:
    code: int | None = getattr(error, "code", None)
    return code if code is not None else _code_in(str(error))


def _code_in(message: str) -> int | None:
    """Find the code that a message of a statement broken off in the middle begins with."""
    found = re.match(r"Code: (\d+)", message)
    return int(found[1]) if found else None


def _brief(error: Exception) -> str:
    return str(error)[:MAX_ERROR_CHARS]


def _bound(parameters: Settings | None) -> dict[str, Any] | None:
    return dict(parameters) if parameters else None


def _plain(settings: Settings | None) -> dict[str, Any] | None:
    return dict(settings) if settings else None
