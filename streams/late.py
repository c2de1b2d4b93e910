"""Late data: which panes it belongs to, so that they can be measured again.

::

    ingest: an item whose pane has closed ─▶ stored raw ─▶ LateNotice(tenant, pane, …) ─▶ telemetry.late
    late:   notices of a pane, put together ─▶ due once everything of it is final ─▶ measured again
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import msgpack
import numpy as np
from numpy.typing import NDArray

from schemas.errors import BadPayload, RejectReason
from streams.grouping import Ints
from streams.lateness import Verdict, judge
from streams.otlp.columns import LogColumns, SpanColumns
from streams.progress import Clock
from streams.windows import WindowConfig

PaneKey = tuple[str, int]
"""(tenant, pane start)"""


@dataclass(frozen=True, slots=True)
class LateNotice:
    """Late items of one tenant that belong to one pane; ``arrival_ns`` is that of the newest."""

    tenant: str
    pane_start_ns: int
    arrival_ns: int
    driven: bool
    services: dict[str, int] = field(default_factory=dict)
    """How many items of each service."""

    def encode(self) -> bytes:
        """Return the record's value (msgpack)."""
        packed = [1, self.tenant, self.pane_start_ns, self.arrival_ns, self.driven, self.services]
        return bytes(msgpack.packb(packed))

    @classmethod
    def decode(cls, value: bytes) -> LateNotice:
        """Read a record's value; raises `BadPayload` for anything else."""
        try:
            _, tenant, pane_start_ns, arrival_ns, driven, services = msgpack.unpackb(value)
            counts = {str(service): int(count) for service, count in services.items()}
            return cls(str(tenant), int(pane_start_ns), int(arrival_ns), bool(driven), counts)
        except Exception as error:
            raise BadPayload(RejectReason.DECODE, f"not a late notice: {type(error).__name__}") from None


class LateLedger:
    """Collects late items of one source until they are told, by pane and service."""

    def __init__(self) -> None:
        self._held: dict[PaneKey, LateNotice] = {}

    def add(
        self,
        tenant: str,
        driven: bool,
        event_ns: NDArray[np.int64],
        service: Ints,
        arrival_ns: NDArray[np.int64],
        names: list[str],
        pane_ns: int,
    ) -> None:
        """Note late items: their event times, services (indices into ``names``) and arrivals."""
        panes = event_ns - event_ns % pane_ns
        for pane_start_ns in np.unique(panes).tolist():
            here = panes == pane_start_ns
            indices, counts = np.unique(service[here], return_counts=True)
            services = {names[index]: int(count) for index, count in zip(indices, counts, strict=True)}
            notice = LateNotice(tenant, pane_start_ns, int(arrival_ns[here].max()), driven, services)
            self._held[tenant, pane_start_ns] = joined(self._held.get((tenant, pane_start_ns)), notice)

    def add_all(
        self, tenant: str, driven: bool, columns: SpanColumns | LogColumns, arrival_ns: int, config: WindowConfig
    ) -> None:
        """Note every item of a message but those that were out of range when it arrived."""
        event_ns = columns.end_ns if isinstance(columns, SpanColumns) else columns.time_ns
        arrivals_ns = np.full(len(columns), arrival_ns, dtype=np.int64)
        kept = judge(event_ns, arrivals_ns, config) != Verdict.OUT_OF_RANGE
        service = columns.service[kept].astype(np.int64)
        self.add(tenant, driven, event_ns[kept], service, arrivals_ns[kept], columns.names, config.pane_ns)

    def drain(self) -> list[LateNotice]:
        """Return what was noted since the last drain."""
        notices, self._held = list(self._held.values()), {}
        return notices


def joined(first: LateNotice | None, second: LateNotice) -> LateNotice:
    """Return one notice for two of the same pane."""
    if first is None:
        return second
    services = dict(first.services)
    for service, count in second.services.items():
        services[service] = services.get(service, 0) + count
    arrival_ns = max(first.arrival_ns, second.arrival_ns)
    return LateNotice(second.tenant, second.pane_start_ns, arrival_ns, second.driven, services)


@dataclass(slots=True)
class _Waiting:
    notice: LateNotice
    first_offset: int
    first_arrival_ns: int


class LateQueue:
    """The panes that wait to be measured again: at most ``max_panes``; the rest is refused, for the caller to count."""

    def __init__(self, config: WindowConfig, wait_ns: int, max_panes: int) -> None:
        self._config = config
        self._wait_ns = wait_ns
        self._max_panes = max_panes
        self._panes: dict[PaneKey, _Waiting] = {}

    def step(self, notice: LateNotice, offset: int) -> bool:
        """Take a notice; ``offset`` is its record's. Returns False when there is no room for another pane."""
        key = (notice.tenant, notice.pane_start_ns)
        waiting = self._panes.get(key)
        if waiting is None:
            if len(self._panes) >= self._max_panes:
                return False
            self._panes[key] = _Waiting(notice, offset, notice.arrival_ns)
        else:
            waiting.notice = joined(waiting.notice, notice)
        return True

    def due(self, clock: Clock, limit: int) -> list[LateNotice]:
        """Return up to ``limit`` panes of one tenant that may be measured now, oldest first.

        A pane is due when every pane whose window it is in is final, and ``wait_ns`` after its first late item, so
        that what trickles in is measured once.
        """
        found = [one.notice for one in self._panes.values() if self._due_ns(one) <= clock.at(one.notice.tenant)]
        tenants = [notice.tenant for notice in found[:1]]
        mine = sorted((n for n in found if n.tenant in tenants), key=lambda notice: notice.pane_start_ns)
        return mine[:limit]

    def _due_ns(self, waiting: _Waiting) -> int:
        last_ns = waiting.notice.pane_start_ns + self._config.window_ns - self._config.pane_ns
        return max(self._config.closes_ns(last_ns), waiting.first_arrival_ns + self._wait_ns)

    def done(self, notices: Iterable[LateNotice]) -> None:
        """Forget panes that were measured, or given up."""
        for notice in notices:
            self._panes.pop((notice.tenant, notice.pane_start_ns), None)

    def lowest_needed_offset(self) -> int | None:
        """Return the smallest offset of a notice that waits, or None."""
        return min((waiting.first_offset for waiting in self._panes.values()), default=None)

    def __len__(self) -> int:
        """How many panes wait."""
        return len(self._panes)
