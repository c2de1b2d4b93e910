"""A worker in the test's own event loop, on real stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from schemas.settings import Settings
from sinks.stores import Stores, open_stores
from topologies.worker import Worker, run_worker

PARTITIONS = 2


@asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[Stores, Worker]]:
    """Run a worker in this loop until it is ready, and stop it at the end."""
    stop, workers = asyncio.Event(), []
    async with open_stores(settings) as stores:
        task = asyncio.create_task(run_worker(settings, stores=stores, stop=stop, started=workers.append))
        try:
            await until(lambda: bool(workers) and workers[0].facts().ready, task)
            yield stores, workers[0]
        finally:
            stop.set()
            await task


async def until(condition: Callable[[], bool], task: asyncio.Task[None], patience_s: float = 120.0) -> None:
    """Wait for ``condition``; a worker that ends meanwhile ends the wait."""
    async with asyncio.timeout(patience_s):
        while not condition():
            if task.done():
                await task
            await asyncio.sleep(0.1)


async def eventually(read: Callable[[], Awaitable[int]], expected: int, patience_s: float = 120.0) -> None:
    """Wait until ``read`` gives ``expected``."""
    found: int | None = None
    try:
        async with asyncio.timeout(patience_s):
            while (found := await read()) != expected:  # noqa: ASYNC110  # a store's contents
                await asyncio.sleep(0.2)
    except TimeoutError:
        raise AssertionError(f"{found} instead of {expected} after {patience_s:.0f} s") from None


def quick(settings: Settings) -> Settings:
    """Return the settings with short intervals."""
    changes = {
        "partitions": PARTITIONS,
        "flush_interval_s": 0.1,
        "insert_wait_s": 0.2,
        "tick_interval_s": 0.3,
        "session_timeout_s": 3.0,
    }
    return settings.model_copy(update=changes)
