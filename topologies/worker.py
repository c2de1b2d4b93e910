"""One worker: all stages in one Faust app, and what keeps it honest.

::

    run_worker ─┬─ topics, migrations
                ├─ Faust app: ingest x3 ▸ edges ▸ health ▸ baselines · slo ▸ incidents ▸ correlation ▸ alerting
                ├─ ticks            time for quiet partitions
                ├─ dispatching      the outbox
                ├─ warm starts      what is known of the hours of services that are new here
                ├─ watchdog         gauges; ends the worker when it is of no use any more
                ├─ self watch       reconciles; tells the operator when ingest is behind
                └─ reading          what the error lines of incidents mean

`run_worker` lives in any running event loop; the embedded product has the API beside it. A worker in a process of
its own serves /metrics, /livez and /readyz on ``worker_port``.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import structlog

from schemas.errors import WorkerFailedError
from schemas.settings import Settings
from schemas.topics import RAW_TOPICS
from sinks.clickhouse.landing import RawSink
from sinks.clickhouse.panes import PaneSink
from sinks.postgres.checkpoints import Checkpoints
from sinks.stores import Stores, open_stores
from streams.flat_columns import FLAT_TOPICS, Flattener
from streams.warming import warm_up
from streams.windows import WindowConfig
from topologies import failpoints
from topologies.alerting import Alerting
from topologies.app import StreamApp, make_app
from topologies.baselines import Baselines
from topologies.correlation import Correlation
from topologies.dispatching import dispatch_forever
from topologies.edges import Edges
from topologies.garbage import collect_seldom
from topologies.health import Health
from topologies.incidents import Incidents
from topologies.ingest import Ingest
from topologies.late import Late
from topologies.letters import Letters
from topologies.patience import LaneEndedError, insist
from topologies.preparing import check_settings, prepare
from topologies.progressing import ClosedTable
from topologies.reading import Reader
from topologies.self_watch import SelfWatch, is_leader
from topologies.slo import slo
from topologies.ticks import Ticker
from topologies.warm_start import WarmStarts
from topologies.watchdog import Watchdog, WorkerFacts
from topologies.wiring import Wiring
from topologies.worker_port import serve_port

log = structlog.get_logger()

LOOK_S = 1.0
STOP_PATIENCE_S = 20.0


class Worker:
    """A worker's parts, put together. ``facts`` tells how it is."""

    def __init__(self, settings: Settings, stores: Stores) -> None:
        self.settings = settings
        self.stores = stores
        self.app = make_app(settings)
        self.watchdog = Watchdog(self.app)
        self.ticker = Ticker(stores.producer, self.app.assigned, self.app.lag, settings.tick_interval_s)
        self.app.forget.append(self.ticker.forget)
        self.warm_starts = WarmStarts(stores.clickhouse)
        self.stages = _stages(self.app, settings, stores, self.ticker, self.warm_starts)
        for stage in self.stages:
            stage.attach()

    def facts(self) -> WorkerFacts:
        """Return how the worker is now."""
        return self.watchdog.facts()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until ``stop`` is set. Raises `WorkerFailedError` for every other end."""
        self.app.finalize()
        self.app.in_worker = True
        tasks = [
            asyncio.create_task(self._guarded("faust", self.app.start())),
            asyncio.create_task(self._guarded("ticks", self.ticker.run())),
            asyncio.create_task(self._guarded("dispatching", self._dispatch())),
            asyncio.create_task(self._guarded("warm_starts", self.warm_starts.run())),
            asyncio.create_task(self._guarded("watchdog", self._watch())),
            asyncio.create_task(self._guarded("self_watch", SelfWatch(self.app, self.settings, self.stores).run())),
        ]
        if self.settings.text_similarity:
            reader = Reader(partial(is_leader, self.app), self.stores.postgres)
            tasks.append(asyncio.create_task(self._guarded("reading", reader.run())))
        try:
            await _first_of(stop.wait(), self.app.failed.wait())
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._stop_app()
        if self.app.failure is not None:
            where, error = self.app.failure
            raise WorkerFailedError(f"worker ended in {where}: {error!r}") from error

    async def _guarded(self, name: str, work: Coroutine[Any, Any, Any]) -> None:
        """Let ``work`` run; an exception of it is the worker's end, never a silent death of one part."""
        try:
            await work
        except Exception as error:
            self.app.fail(name, error)

    async def _dispatch(self) -> None:
        await dispatch_forever(self.settings, self.stores.postgres, self.stores.producer)

    async def _watch(self) -> None:
        while True:
            complaint = self.watchdog.look()
            if complaint is not None:
                raise WorkerFailedError(complaint)
            await asyncio.sleep(LOOK_S)

    async def _stop_app(self) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self.app.stop(), STOP_PATIENCE_S)
            return
        log.error("worker_stop_took_too_long", patience_s=STOP_PATIENCE_S)


def _stages(app: StreamApp, settings: Settings, stores: Stores, ticker: Ticker, warm_starts: WarmStarts) -> list[Any]:
    """Make every box of the drawing, in its order."""
    windows = WindowConfig.from_settings(settings)
    closed = ClosedTable(app, settings.partitions)
    wiring = Wiring(app, settings, windows, stores, closed, PaneSink(stores.clickhouse))
    sink = RawSink(stores.clickhouse, {topic: Flattener(topic).flatten for topic in FLAT_TOPICS})
    checkpoints = Checkpoints(stores.postgres, settings.consumer_group)
    return [
        *(Ingest(wiring, topic, sink, checkpoints, ticker) for topic in RAW_TOPICS),
        Edges(wiring),
        Health(wiring),
        Baselines(wiring, warm_starts),
        slo(wiring),
        Incidents(wiring),
        Correlation(wiring),
        Alerting(wiring),
        Letters(wiring),
        Late(wiring),
    ]


async def run_worker(
    settings: Settings,
    *,
    stores: Stores | None = None,
    stop: asyncio.Event | None = None,
    started: Callable[[Worker], None] | None = None,
) -> None:
    """Run a worker in the present event loop until ``stop`` is set.

    ``stores`` are used and left open; without them the worker opens its own. ``started`` is handed the worker
    before it begins. Raises `SetupError` for settings that cannot work, `WorkerFailedError` when it had to end.
    """
    check_settings(settings)
    failpoints.arm(settings.failpoint)
    stop = stop or asyncio.Event()
    workers: list[Worker] = []
    async with (
        serve_port(settings.worker_port, lambda: workers[0].facts() if workers else None),
        _stores(settings, stores) as opened,
    ):
        with suppress(LaneEndedError):  # told to stop while a store was not there yet
            await insist("stores", "prepare", lambda: prepare(settings), lambda: not stop.is_set())
        if stop.is_set():
            return
        await asyncio.to_thread(warm_up)  # here, and not at the first message, whose session would run out
        collect_seldom()
        worker = Worker(settings, opened)
        workers.append(worker)
        if started is not None:
            started(worker)
        log.info("worker_starting", group=settings.consumer_group, partitions=settings.partitions)
        await worker.run(stop)
        log.info("worker_stopped")


@asynccontextmanager
async def _stores(settings: Settings, stores: Stores | None) -> AsyncIterator[Stores]:
    if stores is not None:
        yield stores
        return
    async with open_stores(settings) as opened:
        yield opened


async def _first_of(*waits: Coroutine[Any, Any, Any]) -> None:
    tasks = [asyncio.create_task(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
