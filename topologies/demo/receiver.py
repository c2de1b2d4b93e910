"""A receiver of alerts, as a customer would write one: checks the signature, believes nothing unsigned."""

from __future__ import annotations

import asyncio
import secrets
import socket
import time
from types import TracebackType
from typing import Self

import uvicorn
from pydantic import SecretStr, ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from schemas.incidents import Alert
from sinks.webhook import SIGNATURE_HEADER, TIMESTAMP_HEADER, verify
from topologies.product import Server

KEPT_ALERTS = 1000


class AlertReceiver:
    """Listens on loopback while the context is open and keeps the alerts that were signed with its secret."""

    def __init__(self) -> None:
        self.secret = SecretStr(secrets.token_urlsafe(32))
        self.alerts: list[Alert] = []
        self.refused = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        app = Starlette(routes=[Route("/alerts", self._accept, methods=["POST"])])
        options = uvicorn.Config(app, log_config=None, access_log=False, lifespan="off", timeout_graceful_shutdown=1)
        self._server = Server(options)
        self._serving: asyncio.Task[None] | None = None

    @property
    def url(self) -> str:
        """Where alerts are to be posted."""
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}/alerts"

    async def __aenter__(self) -> Self:
        self._serving = asyncio.create_task(self._server.serve(sockets=[self._listener]), name="alert receiver")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.should_exit = True
        if self._serving is not None:
            await asyncio.wait([self._serving])
        self._listener.close()

    def first_of(self, incident_id: str) -> Alert | None:
        """Return the first alert that came for an incident."""
        return next((alert for alert in self.alerts if alert.incident_id == incident_id), None)

    async def _accept(self, request: Request) -> Response:
        body = await request.body()
        timestamp = request.headers.get(TIMESTAMP_HEADER, "")
        signature = request.headers.get(SIGNATURE_HEADER, "")
        secret = self.secret.get_secret_value().encode()
        if not verify(secret, body, timestamp, signature, wall_s=time.time()):
            self.refused += 1
            return Response(status_code=401)
        try:
            alert = Alert.model_validate_json(body)
        except ValidationError:
            self.refused += 1
            return Response(status_code=400)
        if all(known.alert_id != alert.alert_id for known in self.alerts) and len(self.alerts) < KEPT_ALERTS:
            self.alerts.append(alert)
        return Response(status_code=204)
