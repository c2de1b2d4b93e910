"""The window arithmetic that every operator shares, and the ledger of what did not make it into a window.

::

    pane_start          pane_end      +settle            +lateness
        |--------- 10 s ----|-----------|--------------------|
             takes items      first published   revisions       final, closed

All instants are integer Unix nanoseconds in event time; a pane is half-open and named by its start.
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.losses import LossReason
from schemas.settings import Settings

SECOND_NS = 1_000_000_000
HOUR_NS = 3600 * SECOND_NS


@dataclass(frozen=True, slots=True)
class WindowConfig:
    """Lengths of panes and waits, and the bounds of what is kept in memory. Durations are nanoseconds."""

    pane_ns: int = 10 * SECOND_NS
    window_ns: int = 60 * SECOND_NS
    lateness_ns: int = 60 * SECOND_NS
    settle_ns: int = 5 * SECOND_NS
    pair_wait_ns: int = 10 * SECOND_NS
    reach_ns: int = 120 * SECOND_NS
    """How far apart (by their ends) two spans of a trace may be and still be put together."""
    past_ns: int = 24 * HOUR_NS
    future_ns: int = 600 * SECOND_NS
    zero_panes_ns: int = HOUR_NS
    """How long after its last traffic a service still gets explicit empty panes."""
    slow_ns: int = 0
    """Requests that take longer do not meet the latency objective; 0 = there is none."""
    normalises_operations: bool = True
    """Span names that name one request are made to name an operation (`streams.operation_names`)."""
    max_tenants: int = 1_000
    max_services: int = 1_000
    """Services of one tenant in one pane."""
    max_entry_operations: int = 200
    """Server and consumer operations of one service in one pane."""
    max_other_operations: int = 100
    """Operations of all other kinds, together, of one service in one pane."""
    max_tallies: int = 200_000
    """Operations, edges, signatures, instances and versions held by one fold over all panes."""
    max_signatures: int = 64
    """Signatures of one service in one pane."""
    max_instances: int = 50
    """Instances of one service in one pane."""
    max_versions: int = 10
    """Versions of one service in one pane."""
    max_edges: int = 500
    """Edges into one node in one pane."""
    max_stubs: int = 3_000_000
    """Spans held by one edge fold (about 90 bytes each)."""
    max_nodes: int = 20_000
    """Services and virtual nodes held by one health fold."""
    max_pending: int = 65_536
    """Items buffered by a pane fold before they are tallied."""

    @classmethod
    def from_settings(cls, settings: Settings) -> WindowConfig:
        """Take the lengths an operator can set; the bounds stay at their defaults."""
        return cls(
            pane_ns=settings.pane_ns,
            window_ns=settings.window_s * SECOND_NS,
            lateness_ns=round(settings.lateness_s * SECOND_NS),
            settle_ns=round(settings.settle_s * SECOND_NS),
            pair_wait_ns=round(settings.pair_wait_s * SECOND_NS),
            slow_ns=round(settings.slo_latency_ms * 1_000_000),
            normalises_operations=settings.normalise_operations,
        )

    def pane_of(self, instant_ns: int) -> int:
        """Return the start of the pane an instant falls in."""
        return instant_ns - instant_ns % self.pane_ns

    def closes_ns(self, pane_start_ns: int) -> int:
        """Return when a pane stops taking items: its end plus lateness."""
        return pane_start_ns + self.pane_ns + self.lateness_ns

    def oldest_open_ns(self, reached_ns: int) -> int:
        """Return the start of the oldest pane that still takes items when the clock reads ``reached_ns``."""
        return self.pane_of(reached_ns - self.lateness_ns - self.pane_ns) + self.pane_ns

    def published_ns(self, pane_start_ns: int) -> int:
        """Return when a pane is first published: its end plus the settling time."""
        return pane_start_ns + self.pane_ns + self.settle_ns


@dataclass(frozen=True, slots=True)
class Loss:
    """So many items of a tenant did not make it, and why."""

    tenant: str
    reason: LossReason
    count: int


class LossLedger:
    """Collects losses inside an operator until the topology drains and counts them."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, LossReason], int] = {}

    def add(self, tenant: str, reason: LossReason, count: int = 1) -> None:
        """Note ``count`` more items; 0 is no loss."""
        if count:
            key = (tenant, reason)
            self._counts[key] = self._counts.get(key, 0) + int(count)

    def absorb(self, other: LossLedger) -> None:
        """Take over what another ledger has noted."""
        for loss in other.drain():
            self.add(loss.tenant, loss.reason, loss.count)

    def drain(self) -> list[Loss]:
        """Return what was noted since the last drain."""
        losses = [Loss(tenant, reason, count) for (tenant, reason), count in self._counts.items()]
        self._counts.clear()
        return losses
