"""A bug in a stage: remembered, never swallowed, and the floor stays below what was not done."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from faust.types import TP
from stage_bench import Bench

from topologies.app import add_stage
from topologies.lanes import Lanes


class Clumsy:
    """A stage that trips over one value."""

    def __init__(self, bench: Bench) -> None:
        self._app = bench.app
        self._lanes: Lanes[None] = Lanes("clumsy", ["t"], bench.app.floors, bench.app.generation, lambda _: None)

    def attach(self, channel: Any = None) -> Any:
        """Make the stage an agent."""
        return add_stage(self._app, "clumsy", ["t"], self.handle, batch=4, within_s=0.02, channel=channel)

    async def handle(self, events: Sequence[Any]) -> None:
        """Report each batch, but for the one with the stone."""
        for lane, records in self._lanes.split(events):
            if any(record.value == b"stone" for record in records):
                raise ZeroDivisionError("tripped")
            self._lanes.report(lane, None)


async def test_unexpected_exception_ends_the_worker_and_moves_no_floor(tmp_path: Path) -> None:
    """Faust would acknowledge the batch and start the agent anew; here the failure is kept and nothing goes on."""
    bench = Bench(tmp_path)
    async with bench.running(Clumsy(bench)):
        await bench.give("t", b"grass")
        await bench.until(lambda: bench.app.floors.floor(TP("t", 0)) == 1)
        await bench.give("t", b"stone")
        await asyncio.wait_for(bench.app.failed.wait(), 5)
        await bench.give("t", b"grass")
        assert bench.app.failure is not None
        where, error = bench.app.failure
        assert (where, type(error)) == ("clumsy", ZeroDivisionError)
        assert bench.app.floors.floor(TP("t", 0)) == 1
