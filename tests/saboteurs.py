"""Take a guard away from a worker, so that a test sees its check go red. Called in the worker's own process."""

from __future__ import annotations

import time
from collections.abc import Container, Sequence

from faust.transport.consumer import Consumer as FaustConsumer

import topologies.app
import topologies.worker
from sinks.clickhouse.landing import RawRow, RawSink
from topologies.offsets import FloorConsumer, FloorTransport


class AckingConsumer(FloorConsumer):
    """Commits what Faust has acknowledged, whatever still needs it."""

    ack = FaustConsumer.ack
    _add_gap = FaustConsumer._add_gap
    _filter_tps_with_pending_acks = FaustConsumer._filter_tps_with_pending_acks
    _new_offset = FaustConsumer._new_offset


class AckingTransport(FloorTransport):
    """The transport with `AckingConsumer`."""

    Consumer = AckingConsumer


def floor_off() -> None:
    """Let Faust's own acknowledgements decide what is committed."""
    topologies.app.FloorTransport = AckingTransport  # type: ignore[misc]


class ForgetfulSink(RawSink):
    """Gives each attempt a token of its own, and counts nothing afterwards.

    (Without any, ClickHouse would know the repetition by the hash of its data.)
    """

    async def insert(
        self, topic: str, rows: Sequence[RawRow], token: str | None = None, ours: Container[int] | None = None
    ) -> None:
        """Store the rows, as often as it is called."""
        await super().insert(topic, rows, str(time.time_ns()), ours)

    async def is_whole(self, topic: str, rows: Sequence[RawRow]) -> bool:
        """Believe it."""
        return True


def token_off() -> None:
    """Let ClickHouse recognise no repeated insert."""
    topologies.worker.RawSink = ForgetfulSink  # type: ignore[misc]
