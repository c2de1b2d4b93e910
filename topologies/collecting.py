"""Decoded batches wait to be stored together: an insert costs ClickHouse much the same however small it is.

::

    put ──▶ waiting ──▶ due: the pause since the last insert began is over, or somebody is held back ──▶ take
     ▲         │
     └─ held back while there is no room

The pause follows from what the last insert took, so that inserts have a bounded share of the time on any machine: one
part in `PAUSE`, as long as that keeps nothing waiting for longer than an operator allows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

PAUSE = 16
"""From the beginning of one insert to that of the next is so many times what the first took, while little comes."""


class Sized(Protocol):
    """What takes room."""

    @property
    def records(self) -> int:
        """How many records it holds; at least one, as nothing is without cost."""

    @property
    def size_bytes(self) -> int:
        """How many bytes of values it holds."""


T = TypeVar("T", bound=Sized)


@dataclass(frozen=True, slots=True)
class Room:
    """How much may wait, and how long at most while little comes."""

    records: int
    size_bytes: int
    wait_s: float


class Collecting(Generic[T]):
    """What waits to be stored with the next insert, in order. One task puts, one takes.

    ``settled`` is called with what waits as soon as that is all there will be of it: somebody is held back.
    """

    def __init__(self, room: Room, settled: Callable[[Sequence[T]], None] = lambda _: None) -> None:
        self._room = room
        self._settled = settled
        self._items: list[T] = []
        self._began_s = 0.0
        self._pause_s = 0.0
        self._held_back = asyncio.Event()
        self._emptied = asyncio.Event()

    async def put(self, items: Sequence[T]) -> None:
        """Add items, once there is room for all of them or nothing else waits."""
        while self._items and not self._has_room(items):
            self._emptied.clear()
            self._settled(self._items)
            self._held_back.set()
            await self._emptied.wait()
        self._items += items

    async def due(self) -> bool:
        """Wait until the next insert is due. Returns False, and at once, when nothing waits."""
        while self._items and not self._held_back.is_set():
            left_s = self._began_s + self._pause_s - time.monotonic()
            if left_s <= 0:
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(self._held_back.wait(), left_s)
        return bool(self._items)

    def take(self) -> list[T]:
        """Return all that waits; there is room again."""
        items, self._items = self._items, []
        self._held_back.clear()
        self._emptied.set()
        return items

    def took(self, began_s: float) -> None:
        """Note that an insert which began at this monotonic second is over: the next pause follows from it."""
        self._began_s = began_s
        self._pause_s = pause_s(time.monotonic() - began_s, self._room.wait_s)

    def _has_room(self, items: Sequence[T]) -> bool:
        together = [*self._items, *items]
        return (
            sum(item.records for item in together) <= self._room.records
            and sum(item.size_bytes for item in together) <= self._room.size_bytes
        )


def pause_s(took_s: float, most_s: float) -> float:
    """Return how long after the beginning of an insert that took so long the next one may begin."""
    return min(PAUSE * took_s, most_s)
