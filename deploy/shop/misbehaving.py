"""What a service does wrong, from inside its own process: as a release that is bad, or while a fault is switched on."""

from __future__ import annotations

import asyncio
import random
import threading
from dataclasses import dataclass, field

from deploy.shop.switch import Effect, FaultState

MOST_KEPT = 3_000_000
"""Entries a leaking service keeps at most (about half a gigabyte): the machine is not ours alone."""


class DiscountTableMissing(RuntimeError):
    """The cart looks for a table that was never shipped."""


class NoCarrier(RuntimeError):
    """Shipping knows no carrier."""


class StaleRates(ValueError):
    """Pricing reads rates it cannot use."""


class ModelNotLoaded(RuntimeError):
    """Recommendations has no model."""


class ServiceBroken(RuntimeError):
    """Any other service fails."""


REASONS: dict[str, tuple[type[Exception], str]] = {
    "cart": (DiscountTableMissing, "no discount table for region {number}"),
    "shipping": (NoCarrier, "no carrier for zone {number}"),
    "pricing": (StaleRates, "rates of day {number} are older than the price list"),
    "recommendations": (ModelNotLoaded, "model shard {number} is not loaded"),
}


class Burner:
    """Busy loops in this process: they hold Python's interpreter lock, as a hot code path would."""

    def __init__(self) -> None:
        self._cool = threading.Event()
        self._cool.set()

    def burn(self, loops: int) -> None:
        """Run so many loops; 0 ends those that run."""
        if not loops:
            self._cool.set()
        elif self._cool.is_set():
            self._cool.clear()
            for _ in range(loops):
                threading.Thread(target=self._burn, daemon=True).start()

    def _burn(self) -> None:
        number = 1
        while not self._cool.is_set():
            for _ in range(10_000):
                number = (number * 6364136223846793005 + 1442695040888963407) % 2**64


class Leak:
    """A cache that is a list, is searched from end to end by each request, and never gets smaller."""

    def __init__(self) -> None:
        self._kept: list[str] = []
        self._number = 0

    @property
    def size(self) -> int:
        """How many entries are kept."""
        return len(self._kept)

    def grow(self, entries: int) -> None:
        """Search the cache in vain, then keep more; 0 entries empty it, as a restart would."""
        if not entries:
            self._kept.clear()
            return
        if "never kept" not in self._kept and len(self._kept) < MOST_KEPT:
            self._kept += [f"{self._number + number:0100d}" for number in range(entries)]
            self._number += entries


@dataclass
class Trouble:
    """All that is wrong with this process of ``service`` now."""

    service: str
    chance: random.Random
    fail_share: float = 0.0
    """Share of requests this release fails."""
    extra_s: float = 0.0
    """Time this release wastes in each request."""
    _state: FaultState = field(default_factory=FaultState)
    _burner: Burner = field(default_factory=Burner)
    _leak: Leak = field(default_factory=Leak)

    def follow(self, state: FaultState) -> None:
        """Take over what is switched on."""
        self._state = state
        self._burner.burn(round(state.of(Effect.BURN, self.service)))
        if not state.of(Effect.LEAK, self.service):
            self._leak.grow(0)

    async def suffer(self) -> None:
        """Be as slow as the service is now, or raise what it fails with; called inside each request."""
        if entries := round(self._state.of(Effect.LEAK, self.service)):
            self._leak.grow(entries)
        if self.extra_s:
            await asyncio.sleep(self.extra_s * self.chance.lognormvariate(0.0, 0.2))
        if self.chance.random() < max(self.fail_share, self._state.of(Effect.ERRORS, self.service)):
            kind, text = REASONS.get(self.service, (ServiceBroken, f"{self.service} cannot do its work ({{number}})"))
            raise kind(text.format(number=self.chance.randrange(7)))
