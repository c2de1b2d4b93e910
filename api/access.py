"""The outermost layer: request id, security headers, access log, metrics, and the answer to a bug of ours."""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

import structlog
from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answers import answer_problem
from api.metrics import REQUEST_SECONDS, REQUESTS
from api.paths import OTLP
from api.problems import Problem, Slug

log = structlog.get_logger("api")

QUIET_PATHS: Final = frozenset({"/livez", "/readyz", "/metrics"})
"""Asked every few seconds by machines: logged at debug level, like telemetry that was taken."""

SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class AccessLog:
    """Give every request an id, every answer its headers, a log line and two metrics.

    Neither the query string nor any header is logged: they may hold what is not ours to write down.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope.setdefault("state", {})["request_id"] = secrets.token_hex(8)
        started_s, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                _add_headers(message, scope["state"]["request_id"])
            await send(message)

        try:
            await self._app(scope, receive, send_with_headers)
        except Exception:
            log.exception("request_failed", request_id=scope["state"]["request_id"], path=_path_of(scope))
            if status:
                raise  # half an answer is out: all that is left is to cut the connection
            problem = Problem(Slug.INTERNAL, "It is in our log under this request id.")
            await answer_problem(problem, scope)(scope, receive, send_with_headers)
        finally:
            _account(scope, status, time.perf_counter() - started_s)


def _add_headers(message: Message, request_id: str) -> None:
    headers = MutableHeaders(scope=message)
    headers["X-Request-Id"] = request_id
    for name, value in SECURITY_HEADERS.items():
        headers.setdefault(name, value)


def _account(scope: Scope, status: int, duration_s: float) -> None:
    route, method = route_of(scope), _method_of(scope)
    REQUESTS.labels(method, route, str(status or "aborted")).inc()
    REQUEST_SECONDS.labels(method, route).observe(duration_s)
    taken = scope["path"].startswith(OTLP) and status == 200
    write = log.debug if taken or scope["path"] in QUIET_PATHS else log.info
    write(
        "request_served",
        method=method,
        route=route,
        path=_path_of(scope),
        status=status or "aborted",
        duration_ms=round(duration_s * 1000, 1),
        tenant=scope["state"].get("tenant"),
        request_id=scope["state"]["request_id"],
    )


def route_of(scope: Scope) -> str:
    """Return the template of the matched route: a bounded set of label values, whatever clients ask for."""
    route: Any = scope.get("route")
    return str(getattr(route, "path_format", None) or getattr(route, "path", None) or "unmatched")


def _method_of(scope: Scope) -> str:
    method = str(scope["method"])
    return method if method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} else "other"


def _path_of(scope: Scope) -> str:
    """Return the path still percent-encoded, so a line break in it cannot forge a log line."""
    raw: bytes = scope.get("raw_path") or b""
    return raw.partition(b"?")[0][:200].decode("ascii", "backslashreplace")
