"""Progress: how operators know what time it is, without a clock and without guessing from idleness.

A `Progress` record says "everything of this source that arrived up to here has reached you". It is broadcast
to every partition of the next topic *after* the data it speaks of, so a reader that takes the smallest
progress over all sources has a watermark that holds. A tenant that is being replayed is on a *driven* clock:
wall time does not move it, only the recorded arrival times do.

Wall time is told again by every record, recorded arrival times only by those of their tenant. So a source keeps what it
has told of them with its floor, and tells it again when it starts there: a reader that starts later than it was told
would wait for it for ever, and none of its floors could be held for something that nobody sends any more.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import msgpack

from schemas.errors import BadPayload, RejectReason
from schemas.losses import LossReason
from streams.windows import HOUR_NS, Loss, LossLedger

MAX_DRIVEN = 64
"""Tenants that may be replayed at once."""

DRIVEN_EXPIRES_NS = HOUR_NS
"""A driven tenant of which nothing has come for this long (by the wall time of records) is on the wall clock again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one source has come: by wall time, and per driven tenant by recorded arrival time (ns)."""

    source: str
    wall_ns: int
    driven: dict[str, int] = field(default_factory=dict)
    driven_wall_ns: dict[str, int] = field(default_factory=dict)
    """The wall time of the last record of each. Only in what a source keeps for itself, to start its clock with."""

    def encode(self) -> bytes:
        """Return the record's value."""
        parts = [1, self.source, self.wall_ns, self.driven]
        return bytes(msgpack.packb([2, *parts[1:], self.driven_wall_ns] if self.driven_wall_ns else parts))

    @classmethod
    def decode(cls, value: bytes) -> Progress:
        """Read a record's value; raises `BadPayload` for anything else."""
        try:
            _, source, wall_ns, *maps = msgpack.unpackb(value)
            driven, *more = ({str(tenant): int(at_ns) for tenant, at_ns in each.items()} for each in maps)
            return cls(str(source), int(wall_ns), driven, *more)
        except Exception as error:
            raise BadPayload(RejectReason.DECODE, f"not a progress record: {type(error).__name__}") from None


class Clock(Protocol):
    """What tells an operator how far time has come: a `SourceClock` or a `ProgressClock`."""

    def at(self, tenant: str) -> int:
        """Return the arrival time up to which everything of this tenant is here (ns); 0 when nothing is known."""

    def is_driven(self, tenant: str) -> bool:
        """Tell whether the tenant is being replayed."""

    def progress(self, source: str, delay_ns: int = 0) -> Progress:
        """Return the clock as a record of ``source``, ``delay_ns`` behind."""


def reading_of(progress: Progress | None, tenant: str, driven: bool) -> int:
    """Return what a saved clock reads for a tenant; 0 without one, or for a replay it has not seen."""
    if progress is None:
        return 0
    return progress.driven.get(tenant, 0 if driven else progress.wall_ns)


def later(progress: Progress, other: Progress | None) -> Progress:
    """Return the further of two readings of the same source, tenant by tenant."""
    if other is None:
        return progress
    driven = {t: max(progress.driven.get(t, 0), other.driven.get(t, 0)) for t in {*progress.driven, *other.driven}}
    return Progress(progress.source, max(progress.wall_ns, other.wall_ns), driven)


class SourceClock:
    """The clock of one source partition, moved by the arrival times of its records. Never goes back.

    ``told`` is what was kept when the floor it starts from was committed, with `driven_wall_ns`: what had been told of
    replays then still holds, and their records may all lie below the floor.
    """

    def __init__(self, source: str, told: Progress | None = None) -> None:
        self.source = source
        self.wall_ns = 0
        walls = told.driven_wall_ns if told is not None else {}
        self._driven: dict[str, int] = {t: at_ns for t, at_ns in told.driven.items() if t in walls} if told else {}
        self._driven_wall_ns: dict[str, int] = {tenant: walls[tenant] for tenant in self._driven}
        self._losses = LossLedger()

    def observe(self, wall_ns: int, tenant: str | None = None, driven_ns: int | None = None) -> None:
        """Take note of a record: its Kafka time, and if it carries the arrival header its tenant and that time."""
        self.wall_ns = max(self.wall_ns, wall_ns)
        if self._driven:
            self._expire()
        if tenant is None or driven_ns is None:
            return
        if tenant not in self._driven and len(self._driven) >= MAX_DRIVEN:
            self._losses.add(tenant, LossReason.DRIVEN_OVERFLOW)
            return
        self._driven[tenant] = max(self._driven.get(tenant, 0), driven_ns)
        self._driven_wall_ns[tenant] = self.wall_ns

    def _expire(self) -> None:
        for tenant, seen_ns in list(self._driven_wall_ns.items()):
            if self.wall_ns - seen_ns > DRIVEN_EXPIRES_NS:
                del self._driven[tenant], self._driven_wall_ns[tenant]

    def at(self, tenant: str) -> int:
        """Return how far this tenant has come in this source."""
        return self._driven.get(tenant, self.wall_ns)

    def is_driven(self, tenant: str) -> bool:
        """Tell whether the tenant is being replayed."""
        return tenant in self._driven

    def progress(self, source: str = "", delay_ns: int = 0) -> Progress:
        """Return what to broadcast once everything observed so far has been sent on; its own source by default."""
        driven = {tenant: max(0, at_ns - delay_ns) for tenant, at_ns in self._driven.items()}
        return Progress(source or self.source, max(0, self.wall_ns - delay_ns), driven)

    def driven_wall_ns(self) -> dict[str, int]:
        """Return the wall time of the last record of each driven tenant."""
        return dict(self._driven_wall_ns)

    def drain_losses(self) -> list[Loss]:
        """Return the records whose driven time was ignored since the last drain."""
        return self._losses.drain()


class ProgressClock:
    """The smallest progress over all expected sources: 0 until each of them has reported."""

    def __init__(self, expected_sources: Iterable[str]) -> None:
        self._wall_ns: dict[str, int] = dict.fromkeys(expected_sources, 0)
        self._driven: dict[str, dict[str, int]] = {}
        self._named_wall_ns: dict[str, int] = {}
        self._newest_wall_ns = 0
        self._low_ns = 0
        self._losses = LossLedger()

    def step(self, progress: Progress) -> bool:
        """Take a report; returns False for a source that is not expected (it is ignored)."""
        if progress.source not in self._wall_ns:
            return False
        self._wall_ns[progress.source] = max(self._wall_ns[progress.source], progress.wall_ns)
        self._newest_wall_ns = max(self._newest_wall_ns, progress.wall_ns)
        self._low_ns = min(self._wall_ns.values())
        for tenant, at_ns in progress.driven.items():
            self.mark_driven(tenant)
            reports = self._driven.get(tenant)
            if reports is not None:
                reports[progress.source] = max(reports.get(progress.source, 0), at_ns)
        if self._driven:
            self._expire()
        return True

    def mark_driven(self, tenant: str) -> None:
        """Put a tenant on the driven clock before any progress has named it (its data said so)."""
        if tenant in self._driven or len(self._driven) < 4 * MAX_DRIVEN:
            self._driven.setdefault(tenant, {})
            self._named_wall_ns[tenant] = self._newest_wall_ns
        else:
            self._losses.add(tenant, LossReason.DRIVEN_OVERFLOW)

    def drain_losses(self) -> list[Loss]:
        """Return how often a replayed tenant was named that stays on the wall clock, since the last drain."""
        return self._losses.drain()

    def _expire(self) -> None:
        for tenant, named_ns in list(self._named_wall_ns.items()):
            if not named_ns:  # named before anybody told the time
                self._named_wall_ns[tenant] = self._newest_wall_ns
            elif self._newest_wall_ns - named_ns > DRIVEN_EXPIRES_NS:
                del self._driven[tenant], self._named_wall_ns[tenant]

    def at(self, tenant: str) -> int:
        """Return the time up to which everything of this tenant, of all sources, is here (ns); 0 = unknown."""
        reports = self._driven.get(tenant)
        if reports is None:
            return self._low_ns
        return min(reports.values()) if len(reports) == len(self._wall_ns) else 0

    @property
    def wall_ns(self) -> int:
        """The wall clock's progress (ns)."""
        return self._low_ns

    def is_driven(self, tenant: str) -> bool:
        """Tell whether the tenant is being replayed."""
        return tenant in self._driven

    @property
    def missing(self) -> list[str]:
        """The expected sources that have not reported yet."""
        return [source for source, wall_ns in self._wall_ns.items() if wall_ns == 0]

    def progress(self, source: str, delay_ns: int = 0) -> Progress:
        """Return this clock as the progress of the next source, ``delay_ns`` behind (what that stage holds back)."""
        driven = {tenant: max(0, self.at(tenant) - delay_ns) for tenant in self._driven}
        return Progress(source, max(0, self._low_ns - delay_ns), driven)
