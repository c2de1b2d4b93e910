"""Places for requests that are worked on: nobody's flood takes them all from the others.

::

    request ─▶ a place of its tenant's ───────▶ a place of all, in turn ──▶ route ──▶ answer begins ──▶ answer is taken
               (some may wait, else 429)        (429 and 503: come later)               └─ leaves        └─ leaves
                                                                                          that of all      the tenant's

Whoever waits for a place of all is one of the few that have one of their tenant's, so each tenant comes its turn. An
answer that its client does not take holds a place of its tenant's alone, and so bounds what waits to be taken.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from starlette.types import Message, Send

from api.problems import Problem, Slug, retry_later

WAITING = 64
"""Requests of one tenant that may wait for a place."""

PATIENCE_S = 10.0


@dataclass
class _Own:
    places: asyncio.Semaphore
    users: int = 0


class Places:
    """So many requests ``in_all`` at once, and so many ``of_tenant``; further ones wait for ``patience_s``."""

    def __init__(self, in_all: int, of_tenant: int, *, waiting: int = WAITING, patience_s: float = PATIENCE_S) -> None:
        self._in_all = asyncio.Semaphore(in_all)
        self._of_tenant = of_tenant
        self._most = of_tenant + waiting
        self._patience_s = patience_s
        self._own: dict[str, _Own] = {}

    @asynccontextmanager
    async def hold(self, tenant: str) -> AsyncIterator[Place]:
        """Wait for a place and hold it. Raises `Problem`: 429 for the tenant's own flood, 503 for everybody's."""
        own = self._own.setdefault(tenant, _Own(asyncio.Semaphore(self._of_tenant)))
        if own.users >= self._most:
            raise _too_many()
        own.users += 1
        try:
            await self._acquire(own.places, _too_many())
            try:
                await self._acquire(self._in_all, retry_later(Slug.OVERLOADED, "Too many requests at once.", 1))
                place = Place(self._in_all.release)
                try:
                    yield place
                finally:
                    place.leave()
            finally:
                own.places.release()
        finally:
            own.users -= 1
            if not own.users:
                del self._own[tenant]

    async def _acquire(self, places: asyncio.Semaphore, problem: Problem) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                await places.acquire()
        except TimeoutError:
            raise problem from None


class Place:
    """A place of all. It may be left before the request is over."""

    def __init__(self, release: Callable[[], None]) -> None:
        self._release: Callable[[], None] | None = release

    def leave(self) -> None:
        """Give the place back, once."""
        release, self._release = self._release, None
        if release is not None:
            release()

    def leaving_with(self, send: Send) -> Send:
        """Return a ``send`` with which the place is left as soon as the answer begins: it is made by then.

        It returns from the last piece of an answer once that is taken: the server waits with each piece until the
        one before is, so an empty one is sent behind.
        """

        async def leave_and_send(message: Message) -> None:
            self.leave()
            if message["type"] != "http.response.body" or message.get("more_body") or not message.get("body"):
                await send(message)
                return
            await send({**message, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})

        return leave_and_send


def _too_many() -> Problem:
    return retry_later(Slug.TOO_MANY_REQUESTS, "Too many requests of this tenant are being answered at once.", 1)
