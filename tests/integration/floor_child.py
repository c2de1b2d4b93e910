"""A worker with one stage that needs every record since the last round hundred; tells what it reads.

With the argument ``slow``, rewinding its partitions takes seconds after the new positions are set, as it may on a
busy machine.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from faust.types import TP

from schemas.settings import Settings
from schemas.topics import CLOSED_TABLE, TRACES
from topologies.app import add_stage, make_app
from topologies.lanes import Lanes
from topologies.offsets import FloorConsumer, FloorTransport
from topologies.tables import state_table

REWIND_S = 2.0


class SlowConsumer(FloorConsumer):
    """A consumer whose rewinding is noticed late."""

    async def seek_to_committed(self) -> Mapping[TP, int]:
        """Seek, and take long to say so."""
        committed = await super().seek_to_committed()
        await asyncio.sleep(REWIND_S)
        return committed


class SlowTransport(FloorTransport):
    """The transport with `SlowConsumer`."""

    Consumer = SlowConsumer


async def main() -> None:
    """Run until killed."""
    settings = Settings(_env_file=None)
    app = make_app(settings)
    if sys.argv[1:] == ["slow"]:
        app.transport = SlowTransport(app.conf.broker_consumer, app)
    state_table(app, CLOSED_TABLE, settings.partitions)  # Faust reads tables, and so the flow is on, before it rewinds
    lanes = Lanes("floor", [TRACES.name], app.floors, app.generation, lambda _: None, app.committed)
    app.forget.append(lanes.clear)

    async def handle(events: Sequence[Any]) -> None:
        for lane, records in lanes.split(events):
            line = {"partition": lane.partition.partition, "first": records[0].offset}
            print(json.dumps(line), flush=True)  # noqa: T201  # how it reports to the test
            lanes.report(lane, records[-1].offset // 100 * 100)

    add_stage(app, "floor", [TRACES.name], handle, batch=16, within_s=0.05)
    app.finalize()
    app.in_worker = True
    await app.start()
    await app.failed.wait()


asyncio.run(main())
