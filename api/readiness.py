"""Whether each dependency answers: asked all at once, with a short patience, at most once in a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Literal

import structlog
from pydantic import BaseModel, Field

from schemas.errors import IncidentScopeError
from schemas.settings import Settings
from sinks import redis
from sinks.kafka.topics import inspect_topics
from sinks.postgres import pool
from sinks.stores import Stores

log = structlog.get_logger("api")

PATIENCE_S: Final = 3.0
KEPT_S: Final = 2.0
"""How long an answer is given again: /readyz needs no key, so asking it often must cost nothing."""

Check = Callable[[], Awaitable[Any]]


class Dependency(BaseModel):
    """One dependency. Why it is away is in our log, not here: this answer needs no key."""

    status: Literal["ready", "away"]
    duration_ms: float = Field(description="How long it took to find out.")


class Readiness(BaseModel):
    """Whether this process can do its work, by dependency."""

    status: Literal["ready", "not_ready"]
    dependencies: dict[str, Dependency]


class ReadinessProbe:
    """Asks the dependencies and remembers their answer for a moment."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks
        self._asking = asyncio.Lock()
        self._asked_s = float("-inf")
        self._known = Readiness(status="not_ready", dependencies={})

    async def readiness(self) -> Readiness:
        """Return a readiness that is at most `KEPT_S` old."""
        async with self._asking:
            if time.monotonic() - self._asked_s > KEPT_S:
                self._known = await self._ask()
                self._asked_s = time.monotonic()
            return self._known

    async def _ask(self) -> Readiness:
        found = await asyncio.gather(*(_asked(name, check) for name, check in self._checks.items()))
        ready = all(one.status == "ready" for one in found)
        return Readiness(
            status="ready" if ready else "not_ready", dependencies=dict(zip(self._checks, found, strict=True))
        )


async def _asked(name: str, check: Check) -> Dependency:
    started_s = time.monotonic()
    status: Literal["ready", "away"] = "ready"
    try:
        async with asyncio.timeout(PATIENCE_S):
            await check()
    except (IncidentScopeError, OSError) as error:  # TimeoutError is an OSError
        status = "away"
        log.warning("dependency_away", dependency=name, error=f"{type(error).__name__}: {error}"[:300])
    return Dependency(status=status, duration_ms=round((time.monotonic() - started_s) * 1000, 1))


def checks_of(stores: Stores, settings: Settings) -> dict[str, Check]:
    """Return what to ask of each dependency."""
    return {
        "clickhouse": lambda: stores.clickhouse.command("SELECT 1"),
        "kafka": lambda: inspect_topics(settings),
        "postgres": lambda: pool.ping(stores.postgres),
        "redis": lambda: redis.ping(stores.redis),
    }
