"""The thread that polls Kafka: Faust's, with polls that end when they are no use any more.

::

    stages' buffers ──full──▶ their partitions are not polled          aiokafka fetches ahead, on two connections
                    ──room──▶ the poll under way ends, and one of all that is wanted begins

Faust asks only for the partitions whose buffers have room, and lets a poll that finds nothing wait for a second: so
long the others stood still, full buffers of aiokafka or not.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

import structlog
from aiokafka.errors import IllegalStateError, KafkaError
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread
from faust.types import TP

from sinks.kafka.fetching import fetch_on_paths
from sinks.kafka.receiving import receive_directly

log = structlog.get_logger()

FETCH_WAIT_MS = 250
"""How long a fetch may wait at the broker for data. Faust fixes 1500, which each of the six hops would add."""

POLL_BYTES = 8 << 20
"""About so much a poll brings, however large records are: all of it is unpacked before any of it is handed on."""
FORGOTTEN = 0.9
"""What is left of the size of earlier records after a poll of smaller ones."""


class PollThread(AIOKafkaConsumerThread):
    """The consumer thread with a shorter wait of its fetches, commits that may fail, and seeks that leave none out.

    No poll crosses a seek. One that waits for data at a rebalance would be answered from the new position, while the
    flow still stands: Faust throws that away. Of a topic of a stage it rewinds once more, but of a changelog that was
    all there was, the recovery of the table would wait for ever.
    """

    _poll: asyncio.Future[Any] | None = None
    _record_bytes: float = 64 << 10

    async def _fetch_records(
        self,
        consumer: Any,
        active_partitions: Any,
        timeout: float | None = None,  # noqa: ASYNC109 - Faust's
        max_records: int | None = None,
    ) -> Any:
        wanted = set(active_partitions)  # Faust changes its set meanwhile, and aiokafka takes none for all
        if not wanted:
            return {}
        most = min(max_records or sys.maxsize, max(1, int(POLL_BYTES / self._record_bytes)))
        self._poll = asyncio.ensure_future(super()._fetch_records(consumer, wanted, timeout, most))
        try:
            await asyncio.wait([self._poll])
            return {} if self._poll.cancelled() else self._sized(self._poll.result())
        finally:
            self._poll.cancel()

    def _sized(self, found: Mapping[TP, Sequence[Any]]) -> Mapping[TP, Sequence[Any]]:
        """Note how large records are; they may be small for a while, and then as large as before."""
        sizes = [len(record.value or b"") for records in found.values() for record in records]
        if sizes:
            self._record_bytes = max(1.0, sum(sizes) / len(sizes), FORGOTTEN * self._record_bytes)
        return found

    async def _end_poll(self) -> None:
        """Let the poll that is under way bring nothing any more."""
        if self._poll is not None and not self._poll.done():
            self._poll.cancel()
            await asyncio.wait([self._poll])

    def end_poll_soon(self) -> None:
        """Let the next poll begin; from any thread. What had come is not lost, the next one brings it."""
        with suppress(RuntimeError):  # the thread has ended
            self.thread_loop.call_soon_threadsafe(self._cancel_poll)

    def _cancel_poll(self) -> None:
        if self._poll is not None:
            self._poll.cancel()

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        await self._end_poll()
        await super()._seek_wait(consumer, partitions)

    async def on_start(self) -> None:
        """Start aiokafka's consumer."""
        await super().on_start()
        fetch_on_paths(self._consumer)

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        consumer._fetch_max_wait_ms = FETCH_WAIT_MS
        receive_directly(consumer)
        return consumer

    async def rewind(self, partitions: Sequence[TopicPartition]) -> dict[TP, int | None]:
        """Seek to where reading has to begin again, and return the committed offsets, None for none."""
        committed: dict[TP, int | None] = await self.call_thread(self._rewind, partitions)
        return committed

    async def _rewind(self, partitions: Sequence[TopicPartition]) -> dict[TP, int | None]:
        # aiokafka's own seek_to_committed asks partition by partition, and leaves a partition that has no commit
        # where it is: somewhere behind what was read and not yet done.
        consumer = self._ensure_consumer()
        committed = await consumer._coordinator.fetch_committed_offsets(partitions)
        await self._end_poll()
        try:
            for partition, found in committed.items():
                consumer.seek(partition, found.offset)
            if fresh := [partition for partition in partitions if partition not in committed]:
                await consumer.seek_to_beginning(*fresh)
        except (AssertionError, IllegalStateError):  # the partitions are being taken away again: the next one rewinds
            log.info("rewind_overtaken_by_a_rebalance")
        found_offsets = {TP(*partition): found.offset for partition, found in committed.items()}
        return {TP(*partition): found_offsets.get(TP(*partition)) for partition in partitions}

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        # Faust crashes the app for every failure. A commit is made again a second later with a newer floor,
        # so a broker that is away or a rebalance under way is no reason to die; the watchdog is for the rest.
        pairs = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in offsets.items()}
        try:
            await self._ensure_consumer().commit(pairs)
        except (KafkaError, TimeoutError, OSError) as error:
            log.warning("commit_failed", error=f"{type(error).__name__}: {error}")
            return False
        self.tp_last_committed_at.update(dict.fromkeys(offsets, time.monotonic()))  # else Faust complains for ever
        return True
