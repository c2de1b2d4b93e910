"""Take a guard away from a worker, so that a test sees its check go red. Called in the worker's own process."""

from __future__ import annotations

from faust.transport.consumer import Consumer as FaustConsumer

import topologies.app
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
