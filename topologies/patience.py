"""What a stage does when a store is away: try again with growing pauses, read nothing meanwhile, skip nothing."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from schemas.errors import StoreUnavailable
from topologies import metrics

log = structlog.get_logger()

T = TypeVar("T")

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class LaneEndedError(Exception):
    """The partition is not ours any more: give the work up, its next owner starts from the committed floor."""


_waiting: set[int] = set()
_numbers = itertools.count()


def waiting_for_stores() -> bool:
    """Tell whether any call stands still because its store is away: then standing still is right."""
    return bool(_waiting)


async def insist(store: str, call: str, attempt: Callable[[], Awaitable[T]], wanted: Callable[[], bool]) -> T:
    """Return what ``attempt`` returns, trying again while the store is unavailable.

    Raises `LaneEndedError` as soon as the result is not ``wanted`` any more; everything else passes through,
    above all `StoreRejected`, which no repetition heals.
    """
    number, pause_s = next(_numbers), FIRST_PAUSE_S
    try:
        while True:
            try:
                with metrics.STORE_SECONDS.labels(store, call).time():
                    return await attempt()
            except StoreUnavailable as error:
                metrics.STORE_RETRIES.labels(store).inc()
                log.warning("store_unavailable", store=store, call=call, error=str(error), pause_s=round(pause_s, 2))
            if not wanted():
                raise LaneEndedError(f"{call} to {store} given up: the partition was reassigned")
            _waiting.add(number)
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311  # jitter, not a secret
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
    finally:
        _waiting.discard(number)
