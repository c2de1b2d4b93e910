"""When dead letters may not be about bad input any more: the limit at which a worker asks whether it is broken itself.

::

    tenant a  ok ok x ok ok …         fine
    tenant b  x x x x x x x x …       diverting: a run of refusals, or a share of its last records, is over the limit
    tenant c  …                       more than half of the tenants heard lately divert ─▶ suspicion

A sender's mistake is its own tenant's, whatever it sends and however much; a decoder of ours that has broken refuses
everybody's. So tenants are counted and not records. But most tenants may send rubbish, too: it is a suspicion, and
whoever asks tries with something good (`topologies.probing`).
"""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.settings import Settings

MAX_TENANTS = 10_000
"""Tenants that are told apart; of the rest nothing is judged. What they have refused is counted, as dead letters."""

HEARD_LATELY = 10
"""A tenant counts while its last record is among this many windows of records."""


@dataclass(frozen=True, slots=True)
class DiversionLimits:
    """When a tenant counts as diverting; 0 switches a limit off. ``window`` is in records of one tenant."""

    in_a_row: int = 1_000
    ratio: float = 0.5
    window: int = 1_000

    @classmethod
    def from_settings(cls, settings: Settings) -> DiversionLimits:
        """Take what an operator can set."""
        return cls(settings.dead_letter_in_a_row, settings.dead_letter_ratio, settings.dead_letter_window)


@dataclass(slots=True)
class _Tenant:
    in_a_row: int = 0
    records: list[int] = field(default_factory=lambda: [0, 0])
    """Of the window before and of this one."""
    refused: list[int] = field(default_factory=lambda: [0, 0])
    last_heard: int = -1


@dataclass(frozen=True, slots=True)
class Diversion:
    """What is suspicious: which tenants divert, of how many heard lately."""

    tenants: tuple[str, ...]
    heard: int


class DiversionFold:
    """Watches what becomes of records, by tenant."""

    def __init__(self, limits: DiversionLimits) -> None:
        self._limits = limits
        self._tenants: dict[str, _Tenant] = {}
        self._heard = 0

    def step(self, tenant: str, refused: bool) -> None:
        """Note one record: refused means that nothing of it could be used."""
        state = self._tenants.get(tenant)
        if state is None:
            if len(self._tenants) >= MAX_TENANTS:
                return
            state = self._tenants[tenant] = _Tenant()
        self._heard += 1
        state.last_heard = self._heard
        state.in_a_row = state.in_a_row + 1 if refused else 0
        if state.records[1] >= self._limits.window:
            state.records, state.refused = [state.records[1], 0], [state.refused[1], 0]
        state.records[1] += 1
        state.refused[1] += refused

    def verdict(self) -> Diversion | None:
        """Return what is suspicious, or None."""
        since = self._heard - HEARD_LATELY * self._limits.window
        lately = {name: state for name, state in self._tenants.items() if state.last_heard > since}
        diverting = tuple(sorted(name for name, state in lately.items() if self._diverts(state)))
        return Diversion(diverting, len(lately)) if 2 * len(diverting) > len(lately) else None

    def _diverts(self, state: _Tenant) -> bool:
        limits = self._limits
        if limits.in_a_row and state.in_a_row >= limits.in_a_row:
            return True
        records, refused = sum(state.records), sum(state.refused)
        return bool(limits.ratio) and records >= limits.window and refused > limits.ratio * records
