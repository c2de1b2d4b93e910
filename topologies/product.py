"""The whole product in one process: embedded stack where no services are named, worker, API.

::

    EmbeddedStack ── settings ──▶ topics, migrations ──▶ worker ┐
         ▲                                                     ├─ one event loop, because chDB allows
         │                                           API server ┘  one process per folder
         └──────── broker full: pause both, renew it ◀──┘
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
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
from topologies.preparing import check_settings, prepare

API = "api.app:create_app"
PROTOCOL = "api.connections:protocol_of"
BROKER_RECORDS = 300_000
"""After this many records the embedded broker is renewed: about an hour when nothing happens."""

STACK_LOOK_S = 5.0
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

log = structlog.get_logger()

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Product:
    """A running product: its settings, where its API and its Kafka are, and the key that opens the API."""

    settings: Settings
    api_url: str
    api_key: str
    kafka_address: str
    ended: asyncio.Future[None]
    """Done when the worker or the API has ended by itself; carries the error that ended it."""


@asynccontextmanager
async def running_product(settings: Settings, *, broker_records: int = BROKER_RECORDS) -> AsyncIterator[Product]:
    """Run everything as long as the context is open. Raises `SetupError` when something cannot start.

    An embedded broker is renewed after about ``broker_records`` records (see `EmbeddedStack.renew_broker`); worker
    and API pause for a few seconds then, and requests wait meanwhile.
    """
    check_settings(settings)
    with listening_socket(settings) as listener:
        stack = EmbeddedStack(settings)
        async with stack as filled:
            house = _House(stack, filled, listener, broker_records)
            running = asyncio.create_task(house.run(), name="product")
            try:
                await _first_of(running, asyncio.create_task(house.open.wait()))
                if running.done():
                    await running
                url = f"http://{filled.api_host}:{listener.getsockname()[1]}"
                yield Product(filled, url, next(iter(tenants_by_key(filled))), stack.kafka_address, _end_of(running))
            finally:
                house.stop.set()
                await asyncio.gather(running, return_exceptions=True)


class _House:
    """Worker and API over one stack, started anew whenever the embedded broker is renewed."""

    def __init__(self, stack: EmbeddedStack, settings: Settings, listener: socket.socket, broker_records: int) -> None:
        self.stop, self.open = asyncio.Event(), asyncio.Event()
        self._stack, self._settings, self._listener = stack, settings, listener
        self._broker_records = broker_records

    async def run(self) -> None:
        """Work until ``stop`` is set, or until something ends by itself. Raises what ended it."""
        while True:
            async with open_stores(self._settings) as stores:
                await prepare(self._settings)
                renew = await self._live(stores)
            if not renew:
                return
            log.info("renewing_broker", records=self._broker_records)
            await self._stack.renew_broker()

    async def _live(self, stores: Stores) -> bool:
        """Run worker and API until the end, or until the broker is to be renewed; return whether it is."""
        from topologies.worker import run_worker

        halt = asyncio.Event()
        server = api_server(self._settings, stores)
        api = asyncio.create_task(server.serve(sockets=[self._listener.dup()]), name="api")
        worker = asyncio.create_task(run_worker(self._settings, stores=stores, stop=halt), name="worker")
        told = asyncio.create_task(self.stop.wait())
        full = asyncio.create_task(self._until_broker_is_full())
        try:
            await _until_started(server, api)
            self.open.set()
            await asyncio.wait([api, worker, told, full], return_when=asyncio.FIRST_COMPLETED)
            for task in (worker, api, full):
                if task.done():
                    await task
            return full.done() and not (told.done() or worker.done() or api.done())
        finally:
            told.cancel()
            full.cancel()
            server.should_exit = True  # first the door, then the house
            await asyncio.gather(api, return_exceptions=True)
            halt.set()
            await asyncio.gather(worker, told, full, return_exceptions=True)

    async def _until_broker_is_full(self) -> None:
        """Return when the broker is to be renewed. Raises `StoreUnavailable` when an embedded server has died."""
        while await self._stack.broker_records() < self._broker_records:  # noqa: ASYNC110 - nobody tells us
            await asyncio.sleep(STACK_LOOK_S)


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
            f"the API cannot listen on {settings.api_host}:{settings.api_port}: {error.strerror}", _other_place(error)
        ) from error


def _other_place(error: OSError) -> str:
    """Return what to do when nobody can listen there; only an address that is ours can have a port that is taken."""
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        return "set INCIDENTSCOPE_API_PORT to another port, or to 0 for any free one"
    return "set INCIDENTSCOPE_API_HOST to an address of this machine, or to 0.0.0.0 for all of them"


class Server(uvicorn.Server):
    """uvicorn without its own signal handling: whoever runs the loop decides when to stop."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone."""
        yield


def api_server(settings: Settings, stores: Stores | None = None) -> Server:
    """Return a server for the API, found by its import string because the topologies never import it."""
    application = pkgutil.resolve_name(API)(settings, stores)
    options = uvicorn.Config(
        application,
        http=pkgutil.resolve_name(PROTOCOL)(settings),
        ws="none",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    return Server(options)


async def _until_started(server: Server, api: asyncio.Task[None]) -> None:
    while not server.started:
        if api.done():
            await api
            raise SetupError("the API ended while starting", "see the log lines above")
        await asyncio.sleep(0.02)


async def _first_of(*tasks: asyncio.Task[Any]) -> None:
    """Return when one of them is done, and cancel the waits among them that are not."""
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks[1:]:
        task.cancel()


def _end_of(task: asyncio.Task[None]) -> asyncio.Future[None]:
    """Return a future with the end of a task, which may be cancelled without cancelling the task."""
    ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def tell(task: asyncio.Task[None]) -> None:
        if ended.done():
            return
        if task.cancelled() or task.exception() is None:
            ended.set_result(None)
        else:
            ended.set_exception(task.exception() or RuntimeError(task.get_name()))
            ended.exception()  # seen: whoever does not wait for it is told by the log

    task.add_done_callback(tell)
    return ended
