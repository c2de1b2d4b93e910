"""Faust tables of bytes whose every write is confirmed by the broker before the floor may move.

::

    stage: states = table.stored(key) ─▶ step, step, step ─▶ await table.save(partition, {key: state})
                                                                    │
                                                     changelog topic, same partition as the source

Faust's own assignment (``table[key] = value``) hands the change to an unbounded queue and forgets it; a
crash then finds a table older than the committed offset. Here the send is awaited. The partition is named
rather than taken from the event being iterated, so batches work.

A table of what is remembered by name has a bound in bytes a partition: names that come and go for ever, as those of
external hosts do, would fill memory and changelog. What was written longest ago is deleted, in the changelog too.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import cached_property
from typing import Any

import faust
import structlog
from aiokafka.errors import KafkaError
from aiokafka.partitioner import DefaultPartitioner

from schemas.topics import TopicSpec
from sinks.kafka.connection import store_error
from topologies import metrics
from topologies.app import StreamApp

log = structlog.get_logger()

CONFIRM_TIMEOUT_S = 35.0


class Ledger:
    """What the states of one partition weigh (bytes of keys and values), those written longest ago first."""

    def __init__(self) -> None:
        self._sizes: dict[bytes, int] = {}
        self.bytes = 0

    def put(self, key: bytes, value: bytes | None) -> None:
        """Note a state as the latest written; None: it is gone."""
        self.bytes -= self._sizes.pop(key, 0)
        if value is not None:
            self._sizes[key] = len(key) + len(value)
            self.bytes += self._sizes[key]

    def beyond(self, most_bytes: int, spared: Collection[bytes]) -> list[bytes]:
        """Return the keys that have to go, so that the rest weighs no more; never those that are spared."""
        left, found = self.bytes, []
        for key, size in self._sizes.items():
            if left <= most_bytes:
                break
            if key not in spared:
                left -= size
                found.append(key)
        return found


class StateTable(faust.Table[bytes, bytes]):
    """A changelogged table, bytes to bytes, co-partitioned with the topic its stage reads."""

    most_bytes: int | None = None
    """Of the states of one partition; None: whoever writes it bounds it."""

    def stored(self, key: bytes) -> bytes | None:
        """Return the stored state, or None."""
        value: bytes | None = self.data.get(key)
        return value

    async def save(self, partition: int, states: Mapping[bytes, bytes | None]) -> None:
        """Store states and wait until the broker has them; None deletes.

        Makes room first where there is a bound. Raises `StoreUnavailable` when the broker does not confirm in time: the
        caller's batch is not done then.
        """
        forgotten = dict.fromkeys(self._beyond(partition, states))
        changes = [*states.items(), *forgotten.items()]
        sends = [self.send_changelog(partition, key, value) for key, value in changes]
        try:
            await asyncio.wait_for(asyncio.gather(*sends), CONFIRM_TIMEOUT_S)
        except (TimeoutError, KafkaError) as error:
            raise store_error(error, f"confirming a write to table {self.name}") from error
        for key, value in changes:
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value
        self._note(partition, forgotten)

    @cached_property
    def _ledgers(self) -> dict[int, Ledger]:
        return {}

    def forget_ledgers(self) -> None:
        """Weigh anew what is there: after a rebalance other partitions are ours."""
        self._ledgers.clear()

    def _beyond(self, partition: int, states: Mapping[bytes, bytes | None]) -> list[bytes]:
        """Return what has to go once these states are written."""
        if self.most_bytes is None:
            return []
        ledger = self._ledgers.get(partition)
        if ledger is None:
            ledger = self._ledgers[partition] = self._weighed(partition)
        for key, value in states.items():
            ledger.put(key, value)
        return ledger.beyond(self.most_bytes, states.keys())

    def _weighed(self, partition: int) -> Ledger:
        ledger, choose, partitions = Ledger(), DefaultPartitioner(), list(range(self.partitions or 1))
        for key, value in self.data.items():
            if choose(key, partitions, partitions) == partition:
                ledger.put(key, value)
        return ledger

    def _note(self, partition: int, forgotten: Mapping[bytes, None]) -> None:
        for key in forgotten:
            self._ledgers[partition].put(key, None)
        if forgotten:
            metrics.STATES_FORGOTTEN.labels(self.name.rpartition(".")[2]).inc(len(forgotten))
            log.info("states_forgotten", table=self.name, partition=partition, services=len(forgotten))


def state_table(app: StreamApp, spec: TopicSpec, partitions: int, most_bytes: int | None = None) -> StateTable:
    """Return the table whose changelog is ``spec`` (a compacted topic that `sinks.kafka` creates).

    ``most_bytes`` bounds the states of one partition; keys must be placed as Kafka's default partitioner does.
    """
    changelog: Any = app.topic(
        spec.name,
        key_type=bytes,
        value_type=bytes,
        key_serializer="raw",
        value_serializer="raw",
        partitions=partitions,
        compacting=True,
        acks=False,
        internal=True,
    )
    table = StateTable(
        app,
        name=spec.name.removesuffix("-changelog"),
        key_type=bytes,
        value_type=bytes,
        partitions=partitions,
        changelog_topic=changelog,
    )
    table.most_bytes = most_bytes
    app.forget.append(table.forget_ledgers)
    app.tables.add(table)
    return table
