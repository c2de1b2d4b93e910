"""The gate: nothing passes without readable text, a valid key, a place, and a body of bounded size.

The key is checked before a byte of the body is read; the body is read here, up to its limit, and handed on.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Final, Protocol
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.answers import answer_problem
from api.auth import KeyRing, presented_key, unauthenticated
from api.otlp.answers import JSON, media_type_of
from api.paths import OTLP
from api.places import Places
from api.problems import Problem, Slug, retry_later
from schemas.keys import TENANT_HEADER

OPEN_PATHS: Final = frozenset({"/", "/livez", "/readyz", "/metrics", "/docs", "/openapi.json"})
OPEN_PREFIX: Final = "/docs/"
METRICS_PATH: Final = "/metrics"
"""Its labels name tenants and their services."""

JSON_LIMIT_BYTES: Final = 65_536
"""Limit of every body that is not telemetry."""

IN_FLIGHT_LIMIT_BYTES: Final = 67_108_864
"""Bodies that may be held at once, over all clients: what bounds our memory. Of one tenant half of it."""

MOST_BODIES: Final = 128
"""Bodies of one tenant that may be on their way at once: each holds a connection for up to 30 s."""

MAX_QUERY_BYTES: Final = 8_192


class RateLimit(Protocol):
    """Who decides whether a tenant is too fast."""

    async def wait_s(self, tenant: str) -> float:
        """Return 0 when the request may pass, else the seconds to wait."""
        ...


class Unlimited:
    """No rate limit."""

    async def wait_s(self, tenant: str) -> float:
        """Let everything pass."""
        return 0.0


class InFlight:
    """The bytes of bodies that are held right now, of all and of each tenant: nobody's may take all the room."""

    def __init__(self, limit_bytes: int = IN_FLIGHT_LIMIT_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._of_tenant: Counter[str] = Counter()
        self._coming: Counter[str] = Counter()
        self.held_bytes = 0

    @contextmanager
    def coming(self, tenant: str) -> Iterator[None]:
        """Count a body that is on its way. Raises `Problem` (429) when a tenant has too many."""
        if self._coming[tenant] >= MOST_BODIES:
            raise retry_later(Slug.TOO_MANY_REQUESTS, "Too many bodies of this tenant are being received at once.", 1)
        self._coming[tenant] += 1
        try:
            yield
        finally:
            self._coming[tenant] -= 1
            if not self._coming[tenant]:
                del self._coming[tenant]

    @contextmanager
    def hold(self) -> Iterator[_Share]:
        """Give back, at the end, all that was taken in between."""
        share = _Share(self)
        try:
            yield share
        finally:
            for tenant, size_bytes in share.taken_bytes.items():
                self._give_back(tenant, size_bytes)

    def take(self, tenant: str, size_bytes: int) -> None:
        """Count bytes in. Raises `Problem` when that is more than a tenant may have (429), or than we hold (503)."""
        if self._of_tenant[tenant] + size_bytes > self._limit_bytes // 2:
            raise retry_later(Slug.TOO_MANY_REQUESTS, "Too many bytes of this tenant are being received at once.", 1)
        if self.held_bytes + size_bytes > self._limit_bytes:
            raise retry_later(Slug.OVERLOADED, "Too many bytes are being received at once.", 1)
        self.held_bytes += size_bytes
        self._of_tenant[tenant] += size_bytes

    def _give_back(self, tenant: str, size_bytes: int) -> None:
        self.held_bytes -= size_bytes
        self._of_tenant[tenant] -= size_bytes
        if not self._of_tenant[tenant]:
            del self._of_tenant[tenant]


class _Share:
    def __init__(self, budget: InFlight) -> None:
        self._budget = budget
        self.taken_bytes: Counter[str] = Counter()

    def take(self, tenant: str, size_bytes: int) -> None:
        self._budget.take(tenant, size_bytes)
        self.taken_bytes[tenant] += size_bytes


class Gate:
    """Check a request before any route sees it; write the tenant into ``scope["state"]``.

    ``metrics_for`` is the tenant whose key reads /metrics; None: nobody needs one.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: KeyRing,
        otlp_limit_bytes: int,
        rate_limit: RateLimit,
        in_flight: InFlight,
        places: Places,
        body_timeout_s: float = 30.0,
        metrics_for: str | None = None,
    ) -> None:
        self._app = app
        self._keys = keys
        self._otlp_limit_bytes = otlp_limit_bytes
        self._rate_limit = rate_limit
        self._in_flight = in_flight
        self._places = places
        self._body_timeout_s = body_timeout_s
        self._metrics_for = metrics_for

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection (ASGI)."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        with self._in_flight.hold() as share:
            try:
                await self._admit(scope)
                receive = await self._with_body(scope, receive, share)
                await self._pass(scope, receive, send)
            except Problem as problem:
                await answer_problem(problem, scope)(scope, receive, send)
                return
            except _ClientGone:
                return

    async def _pass(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, with a place if it is a tenant's; telemetry has places of its own."""
        tenant = scope["state"].get("tenant")
        if tenant is None or scope["path"].startswith(OTLP):
            await self._app(scope, receive, send)
            return
        async with self._places.hold(tenant) as place:
            await self._app(scope, receive, place.leaving_with(send))

    async def _admit(self, scope: Scope) -> None:
        _check_text(scope)
        path: str = scope["path"]
        is_kept = path == METRICS_PATH and self._metrics_for is not None
        if (path in OPEN_PATHS and not is_kept) or path.startswith(OPEN_PREFIX):
            return
        headers: Mapping[bytes, bytes] = dict(reversed(scope["headers"]))  # of a repeated header, the first counts
        key = presented_key(headers)
        tenant = self._keys.tenant_of(key) if key else None
        if tenant is None:
            raise unauthenticated("This API key is not known.") if key else unauthenticated()
        claimed = headers.get(TENANT_HEADER.encode(), b"").strip()
        if claimed and claimed != tenant.encode():
            raise Problem(Slug.TENANT_MISMATCH, "The x-tenant-id header names another tenant than the API key's.")
        if is_kept and tenant != self._metrics_for:
            raise Problem(Slug.TENANT_MISMATCH, "Metrics name all tenants: they are told to the operator's key.")
        wait_s = await self._rate_limit.wait_s(tenant)
        if wait_s > 0:
            raise retry_later(Slug.TOO_MANY_REQUESTS, "This tenant sends more requests than its limit.", wait_s)
        scope["state"]["tenant"] = tenant

    async def _with_body(self, scope: Scope, receive: Receive, share: _Share) -> Receive:
        """Read the body of a method that has one, and return a ``receive`` that hands it on.

        On the open paths nobody knows who sends it, and no route takes it: it is left where it is.
        """
        if scope["method"] not in {"POST", "PUT", "PATCH"} or "tenant" not in scope["state"]:
            return receive
        is_otlp = scope["path"].startswith(OTLP)
        limit_bytes = self._otlp_limit_bytes if is_otlp else JSON_LIMIT_BYTES
        _check_length(scope, limit_bytes)
        tenant = scope["state"]["tenant"]
        try:
            with self._in_flight.coming(tenant):
                async with asyncio.timeout(self._body_timeout_s):
                    body = await _read(receive, limit_bytes, partial(share.take, tenant))
        except TimeoutError:
            detail = f"The body did not arrive within {self._body_timeout_s:g} s."
            raise Problem(Slug.TOO_SLOW, detail, {"Connection": "close"}) from None
        if body and not is_otlp:
            _check_json(scope)
        waiting: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return waiting.pop() if waiting else await receive()

        return replay


class _ClientGone(Exception):
    """The client hung up before its body was complete."""


def _check_text(scope: Scope) -> None:
    """Refuse bytes that no parameter can hold, once for all routes: NUL, and what is not UTF-8."""
    raw_path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8", "surrogatepass")
    query: bytes = scope["query_string"]
    if len(query) > MAX_QUERY_BYTES:
        raise Problem(Slug.BAD_REQUEST, f"The query string is longer than {MAX_QUERY_BYTES} bytes.")
    for what, raw in (("path", raw_path.partition(b"?")[0]), ("query string", query)):
        text = unquote_to_bytes(raw)
        if b"\0" in text:
            raise Problem(Slug.BAD_REQUEST, f"The {what} holds a NUL character.")
        try:
            text.decode()
        except UnicodeDecodeError:
            raise Problem(Slug.BAD_REQUEST, f"The {what} is not UTF-8.") from None


def _check_json(scope: Scope) -> None:
    """Say what is wrong with `curl -d` without a header, instead of complaining about fields."""
    media_type = media_type_of(dict(scope["headers"]).get(b"content-type", b""))
    if media_type != JSON and not media_type.endswith("+json"):
        raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be {JSON}.")


def _too_large(limit_bytes: int) -> Problem:
    # The rest of the body is not read: the connection cannot be used again.
    return Problem(Slug.TOO_LARGE, f"The body is larger than {limit_bytes} bytes.", {"Connection": "close"})


def _check_length(scope: Scope, limit_bytes: int) -> None:
    declared = dict(scope["headers"]).get(b"content-length", b"0")
    if not declared.isdigit():
        raise Problem(Slug.BAD_REQUEST, "Content-Length is not a number.")
    if len(declared) > 18 or int(declared) > limit_bytes:
        raise _too_large(limit_bytes)


async def _read(receive: Receive, limit_bytes: int, take: Callable[[int], None]) -> bytes:
    chunks: list[bytes] = []
    size_bytes = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise _ClientGone
        chunk: bytes = message.get("body", b"")
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            raise _too_large(limit_bytes)
        take(len(chunk))
        chunks.append(chunk)
        if not message.get("more_body", False):
            return b"".join(chunks)
