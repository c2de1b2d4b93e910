"""One service of the shop; its arguments are its name and the number of its listening socket.

The listening socket is inherited from the parent, so that a new release takes over without a refused connection.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import importlib
import logging
import os
import random
import signal
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import asyncpg
import httpx
import uvicorn
from fastapi import Depends, FastAPI, Request
from fastapi.responses import JSONResponse

from deploy.shop.misbehaving import Trouble
from deploy.shop.names import NamedHosts
from deploy.shop.switch import follow
from deploy.shop.telemetry import Telemetry
from deploy.shop.wiring import SERVICES, Wiring

CALL_TIMEOUT_S = 5.0


@dataclass
class ServiceContext:
    """What a service is given to work with."""

    name: str
    wiring: Wiring
    chance: random.Random
    trouble: Trouble
    client: httpx.AsyncClient = field(init=False)
    database: asyncpg.Pool = field(init=False)

    @property
    def log(self) -> logging.Logger:
        """The service's logger."""
        return logging.getLogger(f"shop.{self.name}")

    async def work(self, median_ms: float, sigma: float = 0.25) -> None:
        """Wait as long as some outside work takes: log-normal around ``median_ms``."""
        await asyncio.sleep(median_ms / 1000.0 * self.chance.lognormvariate(0.0, sigma))

    async def call(self, method: str, service: str, path: str, **arguments: object) -> httpx.Response:
        """Call another service; an error of it is logged and raised as `httpx.HTTPStatusError`."""
        response = await self.client.request(method, f"http://{service}{path}", **arguments)  # type: ignore[arg-type]
        if response.is_server_error:
            self.log.error("%s answered %d to %s %s", service, response.status_code, method, path)
        response.raise_for_status()
        return response


def create_pool(postgres_dsn: str) -> asyncpg.Pool:
    """Return a small pool that does not reset its sessions: none has state, and a reset would be a span a query."""

    async def keep(connection: object) -> None:
        """Leave the session as it is."""

    return asyncpg.create_pool(postgres_dsn, min_size=1, max_size=4, reset=keep)


def create_app(context: ServiceContext, telemetry: Telemetry) -> FastAPI:
    """Build the FastAPI application of the service named in ``context``; ``telemetry`` watches its client."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        """Hold the connections, and follow the fault switch, while the service runs."""
        trouble = context.trouble
        watch = asyncio.create_task(
            follow(context.wiring, trouble.follow, lambda: os.kill(os.getpid(), signal.SIGTERM))
        )
        hosts = NamedHosts(context.wiring.addresses, httpx.Limits(max_connections=200, max_keepalive_connections=50))
        context.client = httpx.AsyncClient(timeout=CALL_TIMEOUT_S, transport=hosts)
        telemetry.watch_client(context.client)
        async with context.client, create_pool(context.wiring.postgres_dsn) as pool:
            context.database = pool
            yield
        watch.cancel()

    app = FastAPI(title=context.name, lifespan=lifespan)
    router = importlib.import_module(f"deploy.shop.services.{context.name}").create_router(context)
    app.include_router(router, dependencies=[Depends(context.trouble.suffer)])

    @app.get("/ready")
    async def ready() -> dict[str, int]:
        """Answer when the service can work, and say which process it is: two releases may share the address."""
        return {"pid": os.getpid()}

    @app.exception_handler(httpx.HTTPError)
    async def upstream_failed(request: Request, error: httpx.HTTPError) -> JSONResponse:
        """Turn the failure of a service behind this one into 502, or pass a client's mistake on."""
        if isinstance(error, httpx.HTTPStatusError) and error.response.is_client_error:
            return JSONResponse({"detail": "refused"}, status_code=error.response.status_code)
        if not isinstance(error, httpx.HTTPStatusError):
            context.log.error("call failed: %s", type(error).__name__, exc_info=error)
        return JSONResponse({"detail": "a service behind this one failed"}, status_code=502)

    @app.exception_handler(Exception)
    async def failed(request: Request, error: Exception) -> JSONResponse:
        """Log an unexpected error (the instrumentation has put it on the span), then answer 500."""
        context.log.error("%s %s failed: %s", request.method, request.url.path, error, exc_info=error)
        return JSONResponse({"detail": "internal error"}, status_code=500)

    return app


def main() -> None:
    """Serve until told to stop, then send the last telemetry."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("name", choices=SERVICES)
    arguments.add_argument("--fd", type=int, required=True, help="inherited listening socket")
    arguments.add_argument("--fail-share", type=float, default=0.0, help="of the requests, by this release")
    arguments.add_argument("--extra-s", type=float, default=0.0, help="wasted in each request, by this release")
    given = arguments.parse_args()
    wiring = Wiring.from_environment()
    telemetry = Telemetry()
    telemetry.start()
    chance = random.Random(f"{wiring.seed} {given.name}")  # noqa: S311 - not a secret
    trouble = Trouble(given.name, chance, given.fail_share, given.extra_s)
    app = create_app(ServiceContext(given.name, wiring, chance, trouble), telemetry)
    telemetry.watch(app)
    # uvicorn raises the signal that ended it once more: this turns it into a normal end, so that telemetry is flushed
    signal.signal(signal.SIGTERM, lambda *_: None)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=3))
    try:
        server.run(sockets=[socket.socket(fileno=given.fd)])
    finally:
        telemetry.stop()
