"""What every stage is handed: the app, the settings, the stores, and the tables that stages share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from schemas.settings import Settings
from sinks.clickhouse.panes import PaneSink
from sinks.kafka.producer import Message, Producer
from sinks.stores import Stores
from streams.windows import Loss, WindowConfig
from topologies import metrics
from topologies.app import StreamApp
from topologies.lanes import Lane, Lanes
from topologies.patience import insist
from topologies.progressing import ClosedTable


@dataclass(frozen=True)
class Wiring:
    """The surroundings of a stage; made once by the worker."""

    app: StreamApp
    settings: Settings
    windows: WindowConfig
    stores: Stores
    closed: ClosedTable
    panes: PaneSink

    @property
    def producer(self) -> Producer:
        """The producer whose sends are confirmed."""
        return self.stores.producer

    async def send(self, lanes: Lanes[Any], lane: Lane[Any], messages: list[Message]) -> None:
        """Send records and wait until the broker has all of them, however long that takes.

        Raises `LaneEndedError` when the lane's partition is taken from us meanwhile.
        """
        if messages:
            await insist("kafka", "send", lambda: self.producer.send_many(messages), lanes.wanted(lane))


def count_losses(losses: list[Loss]) -> None:
    """Count what did not make it into a window, by tenant and reason."""
    for loss in losses:
        metrics.LOSSES.labels(metrics.tenant_label(loss.tenant), loss.reason).inc(loss.count)
