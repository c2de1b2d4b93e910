"""Reading what error lines mean, so that incidents told in other words are found.

::

    every 30 s, on the worker that reads otel.traces/0
    incident_features: lines that have not changed for a minute ─▶ sentence model (a child) ─▶ their vectors

Nothing waits for it: an incident is like others by its features until its lines are read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from schemas.errors import SetupError, StoreError
from sinks.meanings import meanings_of
from sinks.postgres import resemblance
from sinks.postgres.pool import Pool

log = structlog.get_logger()

LOOK_EVERY_S = 30.0
SETTLED_S = 60.0
MOST_TEXTS = 64
"""Read at once; the rest comes at the next look."""


@dataclass(slots=True)
class Reader:
    """Reads the error lines of incidents."""

    is_leader: Callable[[], bool]
    postgres: Pool
    settled_s: float = SETTLED_S

    async def run(self) -> None:
        """Look for ever, until the model turns out not to work: that is said once."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if self.is_leader():
                    await self.look()
            except StoreError as error:
                log.warning("reading_not_possible", error=str(error))
            except SetupError as error:
                log.warning("reading_given_up", error=str(error))
                return

    async def look(self) -> int:
        """Read what is unread; return how many texts. Raises `StoreError`, and `SetupError` from the model."""
        texts = await resemblance.unread(self.postgres, settled_s=self.settled_s, limit=MOST_TEXTS)
        if texts:
            vectors = await meanings_of([one.text for one in texts])
            await resemblance.keep_meanings(self.postgres, list(zip(texts, vectors, strict=True)))
        return len(texts)
