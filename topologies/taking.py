"""Batches of a stream, bounded in records, in bytes and in time.

::

    stream ──▶ events one by one ──▶ Taking ──▶ batch: full (records or bytes), or its time is over

Faust's own ``take_events`` bounds records alone: 256 of them may be a kilobyte or a gigabyte.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from topologies.parcels import size_of


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """A batch is handed on with so many records or bytes of values, or so long after the one before it."""

    records: int
    size_bytes: int
    within_s: float


@dataclass
class Taking:
    """Takes events while the batch before is handled, up to one full batch."""

    limits: BatchLimits
    _events: list[Any] = field(default_factory=list)
    _records: int = 0
    _size_bytes: int = 0
    _full: asyncio.Event = field(default_factory=asyncio.Event)
    _emptied: asyncio.Event = field(default_factory=asyncio.Event)

    async def batches(self, stream: Any) -> AsyncIterator[list[Any]]:
        """Yield batches until the stream ends. The parcel that fills a batch is in it, so it can be larger by one."""
        feeding = asyncio.create_task(self._feed(stream))
        try:
            while not feeding.done():
                await self._until_due(feeding)
                if batch := self._emptied_batch():
                    yield batch
            await feeding
            if batch := self._emptied_batch():
                yield batch
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding

    async def _feed(self, stream: Any) -> None:
        async for event in stream.events():
            records, size_bytes = size_of(event.message)
            self._events.append(event)
            self._records += records
            self._size_bytes += size_bytes
            if self._records >= self.limits.records or self._size_bytes >= self.limits.size_bytes:
                self._emptied.clear()
                self._full.set()
                await self._emptied.wait()

    async def _until_due(self, feeding: asyncio.Task[None]) -> None:
        """Wait until the batch is full, its time is over or the stream has ended."""
        full = asyncio.create_task(self._full.wait())
        try:
            await asyncio.wait([full, feeding], timeout=self.limits.within_s, return_when=asyncio.FIRST_COMPLETED)
        finally:
            full.cancel()

    def _emptied_batch(self) -> list[Any]:
        batch, self._events, self._records, self._size_bytes = self._events, [], 0, 0
        self._full.clear()
        self._emptied.set()
        return batch
