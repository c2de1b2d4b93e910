"""A ClickHouse in a process of its own, to which a worker's rows go slowly: its memory does not count as the worker's.

::

    worker ── rows, piece by piece, ``bytes_per_s`` ──HTTP──▶ tests/faults/clickhouse_server.py ──▶ chDB folder
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from deploy.embedded.kept import KeptServers
from deploy.embedded.ports import any_free_port
from deploy.embedded.ready import answers
from deploy.embedded.servers import Child
from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.migrate import migrate

SERVER = Path(__file__).parents[1] / "faults" / "clickhouse_server.py"
START_PATIENCE_S = 60.0


class SlowClickHouse(ClickHouse):
    """A client behind a line of so many bytes a second; what is to be sent is held as long as that takes."""

    bytes_per_s = 0.0

    async def insert_pieces(
        self, table: str, pieces: Callable[[], Generator[bytes]], fmt: str, settings: dict[str, Any] | None = None
    ) -> None:
        """Insert a block, piece by piece."""
        await super().insert_pieces(table, lambda: self._slowly(pieces()), fmt, settings)

    def _slowly(self, pieces: Generator[bytes]) -> Generator[bytes]:
        for piece in pieces:
            time.sleep(len(piece) / self.bytes_per_s)
            yield piece


@asynccontextmanager
async def slow_clickhouse(folder: Path, bytes_per_s: float, settings: Settings) -> AsyncIterator[SlowClickHouse]:
    """Run a ClickHouse with our tables, and give a client that is slow."""
    port = any_free_port()
    argv = [sys.executable, str(SERVER), str(folder / "clickhouse"), str(port)]
    async with KeptServers([Child("clickhouse", argv, str(folder), str(folder / "clickhouse.log"))]):
        await _until_it_answers(port)
        clickhouse = SlowClickHouse(f"clickhouse://default:@127.0.0.1:{port}/default?compress=false")
        clickhouse.bytes_per_s = bytes_per_s
        await migrate(clickhouse, settings)
        yield clickhouse
        await clickhouse.close()


async def _until_it_answers(port: int) -> None:
    async with asyncio.timeout(START_PATIENCE_S):
        while True:
            try:
                return await answers(port)
            except OSError:
                await asyncio.sleep(0.1)
