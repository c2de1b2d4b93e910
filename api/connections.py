"""How long a client may take, and how many may be here: what uvicorn leaves open, and no application sees.

::

    connected ─▶ headers ─▶ body ─▶ … ─▶ answer sent ─▶ kept alive (5 s) ─▶ headers of the next
    └─ headers_timeout_s ┘  └ gate ┘     └ body_timeout_s: until it is taken ┘   └ headers_timeout_s from its first byte

uvicorn's only time-out is for silence between requests, and each byte ends it: a byte a minute holds a connection for
ever. Whoever is too slow with headers, or does not take its answer, is cut off; a body that is too slow is answered
(408, `api.gate`).

When all places are taken, the one who has waited for a request longest goes: a client that has something to ask sends
it at once, and so it is served however many connections somebody holds open.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from api.metrics import CONNECTIONS_CUT
from schemas.settings import Settings

FULL: Final = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


def protocol_of(settings: Settings) -> Callable[..., asyncio.Protocol]:
    """Return what uvicorn takes as ``http``."""
    return partial(
        BoundedProtocol,
        headers_timeout_s=settings.api_headers_timeout_s,
        answer_timeout_s=settings.api_body_timeout_s,
        max_connections=settings.api_max_connections,
    )


class BoundedProtocol(H11Protocol):
    """HTTP/1.1 of one connection among so many, with an end to every wait for its client."""

    def __init__(
        self, *uvicorns: Any, headers_timeout_s: float, answer_timeout_s: float, max_connections: int, **options: Any
    ) -> None:
        super().__init__(*uvicorns, **options)
        self._headers_timeout_s = headers_timeout_s
        self._answer_timeout_s = answer_timeout_s
        self._max_connections = max_connections
        self._headers_due = _Deadline(self.loop)
        self._answer_due = _Deadline(self.loop)
        self._is_cut = False
        self.idle_since_s = 0.0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """Take a connection, or turn it away at once: what waits at the door costs as much as what is served."""
        super().connection_made(transport)
        self.idle_since_s = self.loop.time()
        if len(self.connections) > self._max_connections and not self._make_room():
            CONNECTIONS_CUT.labels("too_many").inc()
            transport.write(FULL)
            transport.close()
            return
        transport.set_write_buffer_limits(0)  # `pause_writing` whenever anything waits to be taken
        self._watch_headers()

    def _make_room(self) -> bool:
        """Cut the connection that has been without a request for longest; return whether there is one."""
        others = (one for one in self.connections if isinstance(one, BoundedProtocol) and one is not self)
        idle = [one for one in others if one.is_idle]
        if not idle:
            return False
        min(idle, key=lambda one: one.idle_since_s).make_way()
        return True

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered, and none is here in full."""
        return not self._is_cut and (self.cycle is None or self.cycle.response_complete)

    def make_way(self) -> None:
        """Leave for somebody else."""
        self._cut("made_way")

    def on_response_complete(self) -> None:
        """Note since when there is no request; what comes in pieces from now on does not count as one."""
        super().on_response_complete()
        self.idle_since_s = self.loop.time()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the first of a request that is to come begins its time."""
        super().data_received(data)
        self._watch_headers()

    def pause_writing(self) -> None:
        """Hold back the rest of an answer, and begin the time for what is on its way."""
        super().pause_writing()
        self._answer_due.begin(self._answer_timeout_s, lambda: self._cut("answer_not_taken"))

    def resume_writing(self) -> None:
        """Go on: the client has taken all there was."""
        self._answer_due.end()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._headers_due.end()
        self._answer_due.end()
        super().connection_lost(exc)

    def _watch_headers(self) -> None:
        """Begin or end the time for headers; the rest of a body that nobody wanted to read takes it, too."""
        if self.cycle is not None and not self.cycle.response_complete:
            self._headers_due.end()
        elif not self._headers_due.is_running:
            self._headers_due.begin(self._headers_timeout_s, lambda: self._cut("slow_headers"))

    def _cut(self, reason: str) -> None:
        CONNECTIONS_CUT.labels(reason).inc()
        self._is_cut = True
        self.transport.abort()  # a close would wait until the client has taken what is buffered


class _Deadline:
    """A time that may be running."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_running(self) -> bool:
        return self._timer is not None

    def begin(self, seconds: float, then: Callable[[], None]) -> None:
        self._timer = self._loop.call_later(seconds, then)

    def end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
