"""The faults of the shop: what each does, which service is to blame, and the file that switches them.

The file is a small JSON document, replaced atomically; every process of the shop looks at it a few times a
second. So anything that can write a file can switch a fault, also by hand.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from deploy.shop.wiring import Wiring

LOOK_INTERVAL_S = 0.25


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault a user can inject, and the truth about it."""

    name: str
    service: str
    """The service a good diagnosis names first."""
    edge_client: str | None
    """For a fault of one connection: its client."""
    kind: str
    what: str
    """What is done to the shop, in words."""


FAULTS: dict[str, Fault] = {
    fault.name: fault
    for fault in (
        Fault("delay", "payments", "checkout", "delay", "the network from checkout to payments gets 400 ms slower"),
        Fault("deploy-errors", "cart", None, "error_return", "cart 1.5.0 goes live and fails 40 % of its requests"),
        Fault("cpu", "pricing", None, "cpu", "busy loops in the pricing process take its CPU"),
        Fault("traffic-stop", "storefront", None, "traffic_stop", "the users' requests no longer reach storefront"),
    )
}

DELAY_S = 0.4
BURN_THREADS = 2
BAD_RELEASE = ("cart", "1.5.0", 0.4)
"""Service, version and share of failing requests of the release behind ``deploy-errors``."""


@dataclass(frozen=True, slots=True)
class FaultState:
    """What is switched on now."""

    delay_s: float = 0.0
    burning: str = ""
    """The service whose process runs busy loops; empty = none."""
    traffic_stopped: bool = False


class FaultFile:
    """The switch: written by whoever injects, read by the processes of the shop."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> FaultState:
        """Return what is switched on; a missing file means nothing is."""
        try:
            return FaultState(**json.loads(self.path.read_bytes()))
        except FileNotFoundError:
            return FaultState()

    def write(self, state: FaultState) -> None:
        """Replace the state as one step, so that no reader sees half of it."""
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(asdict(state)))
        os.replace(draft, self.path)

    def switch(self, fault: str, on: bool) -> None:
        """Turn one of the in-place faults on or off; a release is rolled out by `deploy.shop.processes.Shop`."""
        state = self.read()
        if fault == "delay":
            self.write(replace(state, delay_s=DELAY_S if on else 0.0))
        elif fault == "cpu":
            self.write(replace(state, burning=FAULTS["cpu"].service if on else ""))
        elif fault == "traffic-stop":
            self.write(replace(state, traffic_stopped=on))


async def follow(wiring: Wiring, on_state: Callable[[FaultState], None], on_orphaned: Callable[[], None]) -> None:
    """Call ``on_state`` with the first state and each change, and ``on_orphaned`` when the parent process is gone.

    A parent that was killed cannot end its children; so they look for themselves.
    """
    file = FaultFile(Path(wiring.faults_file))
    known: FaultState | None = None
    while os.getppid() == wiring.owner_pid:
        state = file.read()
        if state != known:
            known = state
            on_state(state)
        await asyncio.sleep(LOOK_INTERVAL_S)
    on_orphaned()
