"""The switch of the faults: a small JSON file, replaced atomically, that every process of the shop looks at.

::

    {"delay": {"checkout>payments": 0.4}, "errors": {"shipping": 0.02}}      effect, target, strength

So anything that can write a file can switch a fault, also by hand. What cannot be done from inside a process (a new
release, a killed instance, a locked table) is done by `deploy.shop.processes.Shop`.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing import parent_process
from pathlib import Path

from deploy.shop.wiring import Wiring

LOOK_INTERVAL_S = 0.25
USERS = "users"
"""The target of effects on the load."""


class Effect(StrEnum):
    """What a process does wrong while it is switched on, and what its strength means."""

    DELAY = "delay"
    """Seconds that a connection holds back what travels from client to server."""
    ERRORS = "errors"
    """Share of its requests that a service fails."""
    BURN = "burn"
    """Number of busy loops in a service."""
    LEAK = "leak"
    """Entries that each request of a service leaves in a cache that nobody empties."""
    HANG = "hang"
    """Share of requests that a host accepts and never answers."""
    SPIKE = "spike"
    """Factor by which there are more users."""
    STOP = "stop"
    """1: no users come."""


@dataclass(frozen=True, slots=True)
class FaultState:
    """What is switched on now: strength by effect and target."""

    strengths: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    def of(self, effect: Effect, target: str) -> float:
        """Return the strength of an effect on a target, 0 when it is off."""
        return self.strengths.get(effect, {}).get(target, 0.0)

    def changed(self, effect: Effect, target: str, strength: float) -> FaultState:
        """Return the state with one strength replaced; 0 switches the effect off."""
        others = {name: value for name, value in self.strengths.get(effect, {}).items() if name != target}
        targets = {**others, target: strength} if strength else others
        rest = {name: value for name, value in self.strengths.items() if name != effect}
        return FaultState({**rest, effect.value: targets} if targets else rest)


class FaultFile:
    """The switch: written by whoever injects, read by the processes of the shop."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self) -> FaultState:
        """Return what is switched on; a missing file means nothing is."""
        try:
            return FaultState(json.loads(self.path.read_bytes()))
        except FileNotFoundError:
            return FaultState()

    def write(self, state: FaultState) -> None:
        """Replace the state as one step, so that no reader sees half of it."""
        draft = self.path.with_suffix(".new")
        draft.write_text(json.dumps(state.strengths))
        os.replace(draft, self.path)

    def switch(self, effect: Effect, target: str, strength: float) -> None:
        """Give an effect on a target this strength; 0 switches it off. Others stay as they are."""
        self.write(self.read().changed(effect, target, strength))


async def follow(wiring: Wiring, on_state: Callable[[FaultState], None], on_orphaned: Callable[[], None]) -> None:
    """Call ``on_state`` with the first state and each change, and ``on_orphaned`` when the parent process is gone.

    A parent that was killed cannot end its children; so they look for themselves.
    """
    file = FaultFile(Path(wiring.faults_file))
    known: FaultState | None = None
    owner = parent_process()
    while owner is not None and owner.is_alive():
        state = file.read()
        if state != known:
            known = state
            on_state(state)
        await asyncio.sleep(LOOK_INTERVAL_S)
    on_orphaned()
