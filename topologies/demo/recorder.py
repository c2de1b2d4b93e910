"""Record a scenario of the shop: ``incidentscope record``. The product has no part in it.

::

    load ─▶ shop ── OTLP/HTTP ─▶ Tape ─▶ RecordingWriter ─▶ traces, metrics, logs, index
              ▲                                     ▲
    Scenario ─┴─ faults, releases ──────────────────┴─ labels.json, deploys.json
"""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import uvicorn
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from deploy.embedded import EmbeddedStack
from deploy.shop.identity import OtlpTarget
from deploy.shop.processes import Rollout, Shop
from schemas.errors import SetupError
from schemas.settings import Settings
from topologies.demo.scenarios import Scenario, Step
from topologies.demo.slimming import Slimmer
from topologies.demo.steadiness import Steadiness
from topologies.product import Server
from topologies.recordings import Labels, RecordedDeploy, RecordedFault, RecordedMessage, RecordingWriter

SETTLE_S = 25.0
"""The shop runs so long before the recording begins: first requests of a process are slow."""
BATCH_S = 2.0
METRICS_S = 30.0
ARRIVAL_NS = 1_000_000
"""Arrivals are kept to the millisecond."""

_NOT_WANTED = {"kafka_brokers": "none", "redis_url": SecretStr("none"), "clickhouse_dsn": SecretStr("none")}
"""Named, so that the embedded stack starts nothing but PostgreSQL."""


class Tape:
    """Takes telemetry over OTLP/HTTP; writes it down while it runs."""

    def __init__(self, writer: RecordingWriter) -> None:
        self.running = False
        self.steadiness = Steadiness()
        self._writer = writer
        self._slimmer = Slimmer()

    async def accept(self, request: Request) -> Response:
        """Take one export request, as a Collector would."""
        arrival_ns = time.time_ns() // ARRIVAL_NS * ARRIVAL_NS
        body = await request.body()
        value = gzip.decompress(body) if request.headers.get("content-encoding") == "gzip" else body
        signal = request.path_params["signal"]
        if self.running:
            value, items = self._slimmer.slim(signal, value)
            self._writer.append(RecordedMessage(arrival_ns, signal, value), items)
            if signal == "traces":
                self.steadiness.see(value)
        return Response(b"", media_type="application/x-protobuf")


@asynccontextmanager
async def listening(tape: Tape) -> AsyncIterator[str]:
    """Listen on a free port of loopback while the context is open; give the endpoint."""
    listener = socket.create_server(("127.0.0.1", 0))
    app = Starlette(routes=[Route("/v1/{signal:str}", tape.accept, methods=["POST"])])
    server = Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1))
    serving = asyncio.create_task(server.serve(sockets=[listener]), name="tape")
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        await asyncio.wait([serving])
        listener.close()


async def record(
    settings: Settings, scenario: Scenario, folder: Path, say: Callable[[str], None]
) -> tuple[Steadiness, int]:
    """Record one scenario to ``folder``; return how steady the shop was, and when it began (nanoseconds).

    ``say`` is told what happens. Raises `SetupError` when the folder is not empty, or the shop does not hold.
    """
    tape = Tape(writer := RecordingWriter(folder))
    stack = EmbeddedStack(settings.model_copy(update=_NOT_WANTED), throwaway=True)
    async with listening(tape) as endpoint, stack as filled:
        target = OtlpTarget(endpoint, {}, batch_s=BATCH_S, metrics_s=METRICS_S)
        dsn = filled.postgres_dsn.get_secret_value()
        work = settings.data_dir / "shop"
        async with Shop(work, dsn, target, rate_per_s=scenario.rate_per_s, seed=scenario.seed) as shop:
            await asyncio.sleep(SETTLE_S)
            play = Play(scenario, shop, say)
            tape.running = True
            await play.run()
            tape.running = False
    await asyncio.to_thread(writer.finish, play.labels(), play.deploys)
    return tape.steadiness, round(play.begun_s * 1e9)


class Play:
    """One scenario as it is played, and what is to be written down about it."""

    def __init__(self, scenario: Scenario, shop: Shop, say: Callable[[str], None]) -> None:
        self.scenario = scenario
        self.deploys: list[RecordedDeploy] = []
        self._shop = shop
        self._say = say
        self.begun_s = self._ended_s = time.time()
        self._faults: list[RecordedFault] = []

    async def run(self) -> None:
        """Play all steps to the end of the recording."""
        self.begun_s = time.time()
        self._say(f"{self.scenario.name}: calm for {self.scenario.calm_s:.0f} s")
        async with asyncio.TaskGroup() as steps:
            for step in self.scenario.steps:
                steps.create_task(self._play(step))
        await self._until(self.scenario.length_s)
        self._ended_s = time.time()
        if died := self._shop.ended():
            raise SetupError(f"a process of the shop ended: {died}", f"read the logs in {self._shop.folder}")

    async def _play(self, step: Step) -> None:
        await self._until(step.begin_s)
        self._say(f"{self.scenario.name}: {step.fault.what}")
        asked_s = time.time()
        instance = self._shop.instances.get(step.fault.killed, "")
        self._announce(await self._shop.inject(step.fault))
        rollout_s = time.time() - asked_s
        await self._until(step.end_s)
        if step.fault.service:
            self._faults.append(self._labelled(step, asked_s, rollout_s, instance))
        if step.repaired:
            self._announce(await self._shop.repair(step.fault))

    def _labelled(self, step: Step, begun_s: float, rollout_s: float, instance: str) -> RecordedFault:
        fault = step.fault
        return RecordedFault(
            id=f"{self.scenario.name}-{fault.name}",
            start_unix=round(begun_s, 3),
            duration_s=round(time.time() - begun_s, 1),
            service=fault.service,
            instance=instance,
            edge_client=fault.edge_client or "",
            fault=fault.kind,
            start_uncertainty_s=round(1.0 + rollout_s, 1),
        )

    def _announce(self, rollouts: list[Rollout]) -> None:
        """Note releases as a deployment job announces them: when they have gone live."""
        at_unix = round(time.time(), 3)
        self.deploys += [
            RecordedDeploy(service=one.service, version=one.version, kind=one.kind, environment="demo", at_unix=at_unix)
            for one in rollouts
        ]

    def labels(self) -> Labels:
        """Return the truth."""
        return Labels(
            name=self.scenario.name,
            start_unix=round(self.begun_s, 3),
            end_unix=round(self._ended_s, 3),
            faults=sorted(self._faults, key=lambda fault: fault.start_unix),
        )

    async def _until(self, since_begin_s: float) -> None:
        await asyncio.sleep(max(0.0, self.begun_s + since_begin_s - time.time()))
