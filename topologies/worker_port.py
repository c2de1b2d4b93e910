"""The port of a worker of its own: /metrics for Prometheus, /livez and /readyz for the supervisor."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from topologies.watchdog import WorkerFacts

log = structlog.get_logger()

Facts = Callable[[], WorkerFacts | None]


def worker_asgi(facts: Facts) -> Callable[..., Any]:
    """Return the three pages as an ASGI application; ``facts`` gives None while the worker is not made yet."""

    async def application(scope: Any, _receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        status, kind, body = _page(scope["path"], facts)
        headers = [(b"content-type", kind.encode()), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


def _page(path: str, facts: Facts) -> tuple[int, str, bytes]:
    if path == "/metrics":
        return 200, CONTENT_TYPE_LATEST, generate_latest()
    if path == "/livez":
        return 200, "text/plain", b"alive\n"
    if path == "/readyz":
        known = facts()
        body = json.dumps(None if known is None else asdict(known)).encode()
        return 200 if known is not None and known.ready else 503, "application/json", body
    return 404, "text/plain", b"here are /metrics, /livez and /readyz\n"


@asynccontextmanager
async def serve_port(port: int, facts: Facts, host: str = "127.0.0.1") -> AsyncIterator[None]:
    """Serve the pages while the context is open; port 0 serves nothing."""
    if not port:
        yield
        return
    config = uvicorn.Config(worker_asgi(facts), host=host, port=port, lifespan="off", log_config=None, access_log=False)
    server = _Server(config)
    async with server.running():
        log.info("worker_port", host=host, port=port)
        yield


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the worker has its own."""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        self.config.load()
        self.lifespan = self.config.lifespan_class(self.config)
        await self.startup()
        try:
            yield
        finally:
            await self.shutdown()
