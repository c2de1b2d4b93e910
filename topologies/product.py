"""The whole product in one process: embedded stack where no services are named, worker, API.

::

    EmbeddedStack ── settings ──▶ topics, migrations ──▶ worker ┐
                                                               ├─ one event loop, because chDB allows
                                                     API server ┘  one process per folder
"""

from __future__ import annotations

import asyncio
import contextlib
import pkgutil
import signal
import socket
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog
import uvicorn

from deploy.embedded import EmbeddedStack
from schemas.errors import SetupError
from schemas.settings import Settings
from sinks.api_keys import tenants_by_key
from sinks.stores import Stores, open_stores
from topologies.preparing import prepare

API = "api.app:create_app"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Product:
    """A running product: its settings, where its API is, and the key that opens it."""

    settings: Settings
    api_url: str
    api_key: str
    ended: asyncio.Future[None]
    """Done when the worker or the API has ended by itself; carries the error that ended it."""


@asynccontextmanager
async def running_product(settings: Settings) -> AsyncIterator[Product]:
    """Run everything as long as the context is open. Raises `SetupError` when something cannot start."""
    from topologies.worker import run_worker

    with listening_socket(settings) as listener:
        async with EmbeddedStack(settings) as filled, open_stores(filled) as stores:
            await prepare(filled)
            stop = asyncio.Event()
            server = api_server(filled, stores)
            worker = asyncio.create_task(run_worker(filled, stores=stores, stop=stop), name="worker")
            api = asyncio.create_task(server.serve(sockets=[listener]), name="api")
            try:
                await _until_started(server, api)
                url = f"http://{filled.api_host}:{listener.getsockname()[1]}"
                yield Product(filled, url, next(iter(tenants_by_key(filled))), _first_to_end(worker, api))
            finally:
                server.should_exit = True  # first the door, then the house
                await asyncio.gather(api, return_exceptions=True)
                stop.set()
                await asyncio.gather(worker, return_exceptions=True)


async def run_api(settings: Settings) -> None:
    """Serve the API alone, until cancelled."""
    with listening_socket(settings) as listener:
        server = api_server(settings)
        api = asyncio.create_task(server.serve(sockets=[listener]), name="api")
        try:
            await asyncio.shield(api)
        finally:
            server.should_exit = True
            await asyncio.gather(api, return_exceptions=True)


async def run_worker_alone(settings: Settings) -> None:
    """Run a worker against real services, until cancelled. Raises what ended it."""
    from topologies.worker import run_worker

    stop = asyncio.Event()
    worker = asyncio.create_task(run_worker(settings, stop=stop), name="worker")
    try:
        await asyncio.shield(worker)
    finally:
        stop.set()
        await asyncio.gather(worker, return_exceptions=True)


async def until_told_to_stop(work: Coroutine[Any, Any, T]) -> T | None:
    """Run ``work``; at the first Ctrl-C, SIGTERM or hang-up cancel it, let it clean up, and return None.

    A second signal ends the process at once (the embedded servers end with it, see `deploy.embedded.keeper`).
    """
    loop, task = asyncio.get_running_loop(), asyncio.create_task(work)
    told: list[str] = []

    def tell(signal_number: signal.Signals) -> None:
        told.append(signal_number.name)
        log.info("stopping", signal=signal_number.name)
        for each in STOP_SIGNALS:
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        task.cancel()

    for each in STOP_SIGNALS:
        loop.add_signal_handler(each, tell, each)
    try:
        return await task
    except asyncio.CancelledError:
        if told:
            return None
        raise


def listening_socket(settings: Settings) -> socket.socket:
    """Listen where the settings say. Raises `SetupError` when that port is taken."""
    try:
        return socket.create_server((settings.api_host, settings.api_port))
    except OSError as error:
        raise SetupError(
            f"the API cannot listen on {settings.api_host}:{settings.api_port}: {error.strerror}",
            "set INCIDENTSCOPE_API_PORT to another port, or to 0 for any free one",
        ) from error


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: whoever runs the loop decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def api_server(settings: Settings, stores: Stores | None = None) -> Server:
    """Return a server for the API, found by its import string because the topologies never import it."""
    application = pkgutil.resolve_name(API)(settings, stores)
    options = uvicorn.Config(application, log_config=None, access_log=False, timeout_graceful_shutdown=5)
    return Server(options)


async def _until_started(server: Server, api: asyncio.Task[None]) -> None:
    while not server.started:
        if api.done():
            await api
            raise SetupError("the API ended while starting", "see the log lines above")
        await asyncio.sleep(0.02)


def _first_to_end(*tasks: asyncio.Task[None]) -> asyncio.Future[None]:
    """Return a future that is done when the first task is, with its error."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(task: asyncio.Task[None]) -> None:
        if ended.done():
            return
        if task.cancelled() or task.exception() is None:
            ended.set_result(None)
        else:
            ended.set_exception(task.exception() or RuntimeError(task.get_name()))

    for task in tasks:
        task.add_done_callback(tell)
    return ended
