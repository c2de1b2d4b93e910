"""Faust tables of bytes whose every write is confirmed by the broker before the floor may move.

::

    stage: states = table.stored(key) ─▶ step, step, step ─▶ await table.save(partition, {key: state})
                                                                    │
                                                     changelog topic, same partition as the source

Faust's own assignment (``table[key] = value``) hands the change to an unbounded queue and forgets it; a
crash then finds a table older than the committed offset. Here the send is awaited. The partition is named
rather than taken from the event being iterated, so batches work.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import faust
from aiokafka.errors import KafkaError

from schemas.topics import TopicSpec
from sinks.kafka.connection import store_error
from topologies.app import StreamApp

CONFIRM_TIMEOUT_S = 35.0


class StateTable(faust.Table[bytes, bytes]):
    """A changelogged table, bytes to bytes, co-partitioned with the topic its stage reads."""

    def stored(self, key: bytes) -> bytes | None:
        """Return the stored state, or None."""
        value: bytes | None = self.data.get(key)
        return value

    async def save(self, partition: int, states: Mapping[bytes, bytes | None]) -> None:
        """Store states and wait until the broker has them; None deletes.

        Raises `StoreUnavailable` when the broker does not confirm in time: the caller's batch is not done then.
        """
        sends = [self.send_changelog(partition, key, value) for key, value in states.items()]
        try:
            await asyncio.wait_for(asyncio.gather(*sends), CONFIRM_TIMEOUT_S)
        except (TimeoutError, KafkaError) as error:
            raise store_error(error, f"confirming a write to table {self.name}") from error
        for key, value in states.items():
            if value is None:
                self.data.pop(key, None)
            else:
                self.data[key] = value


def state_table(app: StreamApp, spec: TopicSpec, partitions: int) -> StateTable:
    """Return the table whose changelog is ``spec`` (a compacted topic that `sinks.kafka` creates)."""
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
    app.tables.add(table)
    return table
