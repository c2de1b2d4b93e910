"""A worker with one stage that needs every record since the last round hundred; tells what it reads."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Any

from schemas.settings import Settings
from schemas.topics import TRACES
from topologies.app import add_stage, make_app
from topologies.lanes import Lanes


async def main() -> None:
    """Run until killed."""
    app = make_app(Settings(_env_file=None))
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
