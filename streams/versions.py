"""Which versions of a service run, since when, and which of them is a change that nobody had to announce.

A version that appears while another is known is a deploy; one that comes back after others took its place is a
rollback. What runs when a service is first heard of is neither. A pane that is stepped again says the same again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import msgpack

from schemas.deviations import ServiceDeviations, VersionShare
from schemas.health import ServiceHealth, VersionHealth
from schemas.incidents import Deploy
from streams.contents import OVERFLOW_VERSION
from streams.latency import count_over
from streams.siblings.usual import slow_from_ms

_NS = 1_000_000_000
_RATE_PANES = 30


@dataclass(frozen=True, slots=True)
class VersionConfig:
    """What counts as a change."""

    founding_s: float = 120.0
    """Versions that appear so soon after the service is first heard of were there before."""
    least_requests: int = 3
    """A version is believed by so many requests in one pane, ..."""
    least_panes: int = 3
    """... or by requests in so many panes: a stray request is no deploy."""
    away_s: float = 60.0
    """A version that took no request for so long, while another did, and comes back was rolled back to, ..."""
    missed_requests: float = 20.0
    """... if as many requests as these should have come meanwhile."""
    lately_s: float = 1800.0
    """Versions are told of a service that had several within this time."""
    forget_s: float = 86_400.0
    most: int = 16
    """Versions remembered of a service: those heard longest ago go first, and of more at once no change is told."""
    above: float = 1.25
    above_ms: float = 10.0
    """A request is slow from so much beyond the usual 95th percentile on."""


@dataclass(slots=True)
class _Row:
    """One version. Instants are starts of panes; 0 is never."""

    first_ns: int
    heard_ns: int = 0
    panes: int = 0
    """In which it was heard since it appeared."""
    told_ns: int = 0
    """The pane that made it a change."""
    per_pane: float = 0.0
    """Its requests in one of the last panes that had any."""
    times: int = 1
    """How often it appeared."""


@dataclass(slots=True)
class VersionMemory:
    """What is remembered of the versions of one service: below 1 KB."""

    began_ns: int = 0
    """The first pane in which any was heard."""
    rows: dict[str, _Row] = field(default_factory=dict)

    def encode(self) -> bytes:
        """Return the memory as msgpack; nothing where no version was ever told."""
        if not self.rows:
            return b""
        rows = [
            [name, r.first_ns, r.heard_ns, r.panes, r.told_ns, r.per_pane, r.times] for name, r in self.rows.items()
        ]
        return bytes(msgpack.packb([self.began_ns, rows]))

    @staticmethod
    def decode(raw: bytes | None) -> VersionMemory:
        """Read `encode` back; nothing is a fresh start."""
        if not raw:
            return VersionMemory()
        began_ns, rows = msgpack.unpackb(raw)
        return VersionMemory(began_ns, {name: _Row(*numbers) for name, *numbers in rows})

    def heard_since(self, ns: int) -> int:
        """Return how many versions have been heard since an instant."""
        return sum(row.heard_ns >= ns for row in self.rows.values())


class VersionFold:
    """Follow the versions of a service. Pure: the memory belongs to the caller."""

    def __init__(self, config: VersionConfig | None = None) -> None:
        self.config = config or VersionConfig()

    def advance(self, memory: VersionMemory, health: ServiceHealth, usual_ms: float | None) -> list[VersionShare]:
        """Take a pane; return its versions, by name, if there were several lately.

        `usual_ms` is the usual 95th percentile of the service, if it is known.
        """
        pane_ns = health.pane_start_ns
        heard = [one for one in health.versions if one.requests and one.version != OVERFLOW_VERSION]
        if heard and not memory.began_ns:
            memory.began_ns = pane_ns
        for one in sorted(heard, key=lambda one: one.version):
            self._hear(memory, one, health)
        if len(memory.rows) < 2 or memory.heard_since(pane_ns - int(self.config.lately_s * _NS)) < 2:
            return []
        return sorted(self._shares(memory, heard, pane_ns, usual_ms), key=lambda one: one.version)

    def _hear(self, memory: VersionMemory, one: VersionHealth, health: ServiceHealth) -> None:
        pane_ns = health.pane_start_ns
        row = memory.rows.get(one.version)
        if row is None and not self._make_room(memory, pane_ns):
            return
        if row is None:
            row = memory.rows[one.version] = _Row(pane_ns)
        elif self._is_back(memory, row, pane_ns, health.pane_s):
            row.first_ns, row.panes, row.told_ns, row.times = pane_ns, 0, 0, row.times + 1
        if pane_ns > row.heard_ns:
            row.heard_ns, row.panes = pane_ns, row.panes + 1
            row.per_pane += (one.requests - row.per_pane) / min(row.panes, _RATE_PANES)
        is_believed = one.requests >= self.config.least_requests or row.panes >= self.config.least_panes
        if is_believed and not row.told_ns and self._is_later(memory, row):
            row.told_ns = pane_ns

    def _is_later(self, memory: VersionMemory, row: _Row) -> bool:
        """Tell whether it appeared when the service was known already."""
        return row.first_ns > memory.began_ns + self.config.founding_s * _NS

    def _is_back(self, memory: VersionMemory, row: _Row, pane_ns: int, pane_s: int) -> bool:
        """Tell whether it was away while another was there."""
        away_s = (pane_ns - row.heard_ns) / _NS
        if away_s < self.config.away_s or row.per_pane * away_s / pane_s < self.config.missed_requests:
            return False
        others = (other.heard_ns for other in memory.rows.values() if other is not row)
        return any(row.heard_ns < heard_ns < pane_ns for heard_ns in others)

    def _make_room(self, memory: VersionMemory, pane_ns: int) -> bool:
        """Forget what was not heard for long; tell whether there is room for one more."""
        oldest_ns = pane_ns - int(self.config.forget_s * _NS)
        memory.rows = {name: row for name, row in memory.rows.items() if row.heard_ns >= oldest_ns}
        if len(memory.rows) >= self.config.most:
            stalest = min(memory.rows, key=lambda name: (memory.rows[name].heard_ns, name))
            if memory.rows[stalest].heard_ns >= pane_ns - self.config.lately_s * _NS:
                return False
            del memory.rows[stalest]
        return True

    def _shares(
        self, memory: VersionMemory, heard: list[VersionHealth], pane_ns: int, usual_ms: float | None
    ) -> Iterator[VersionShare]:
        config = self.config
        limit_ms = None if usual_ms is None else slow_from_ms(usual_ms, config.above, config.above_ms)
        for one in heard:
            row = memory.rows.get(one.version)
            if row is not None:
                yield VersionShare(
                    version=one.version, requests=one.requests, errors=one.errors, slow=_slow(one, limit_ms),
                    first_seen_ns=row.first_ns, change=_change(row) if row.told_ns == pane_ns else None,
                )  # fmt: skip


def _change(row: _Row) -> Literal["deploy", "rollback"]:
    return "rollback" if row.times > 1 else "deploy"


def _slow(one: VersionHealth, limit_ms: float | None) -> int:
    return 0 if limit_ms is None else min(one.requests, count_over(one.durations, int(limit_ms * 1e6)))


def changes_seen(deviations: ServiceDeviations) -> Iterator[Deploy]:
    """Yield the changes that a pane decides, as deploys; told again they have the same ids.

    They are of the pane that believed them, so a ranking of that instant knows them.
    """
    for one in deviations.versions:
        if one.change is not None:
            what = "\0".join((deviations.service, one.version, str(deviations.pane_start_ns)))
            yield Deploy(
                deploy_id=f"seen-{hashlib.sha256(what.encode()).hexdigest()[:20]}", tenant=deviations.tenant,
                service=deviations.service, version=one.version, kind=one.change, at_ns=deviations.pane_start_ns,
                source="telemetry", description="Seen as service.version of its spans.",
            )  # fmt: skip
