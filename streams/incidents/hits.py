"""Who is hit by an incident: traces that its causes made fail or slow, of all that came in (ADR 48).

Counted by cause and added up over panes; of several causes the one that hits most counts, since traces pass through
many of them. What is slow or fails is held against what was usual of the same traces before, so habits are no hits.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from streams.incidents.crowd import Crowd

_SCALES = 2.0
"""More than usual counts from so many standard deviations on."""


class Tally(NamedTuple):
    """What one cause does to the traces that pass through it. Sums of panes, so differences from usual are signed."""

    through: float = 0.0
    surely: float = 0.0
    """Hit whatever the traces say: by a slow instance, a stop; or nothing is known that says otherwise."""
    surely_slow: float = 0.0
    """Those of them that are hit by slowness."""
    logged: float = 0.0
    """That met with error lines. Where spans tell of failures, those are believed: one failure writes many lines."""
    failing: float = 0.0
    failing_scatter: float = 0.0
    """Variance of the difference that chance makes; so of the others."""
    longer: float = 0.0
    """Slowed down, as the share beyond the usual median tells ..."""
    longer_scatter: float = 0.0
    latest: float = 0.0
    """... and as the share beyond the usual 95th percentile does."""
    latest_scatter: float = 0.0
    failing_seen: float = 0.0
    """Traces with a failure, usual or not ..."""
    longer_seen: float = 0.0
    """... and beyond the usual median, or all that pass where no median is known."""

    def plus(self, other: Tally) -> Tally:
        """Add another's counts."""
        return Tally(*(one + more for one, more in zip(self, other, strict=True)))

    @property
    def failed(self) -> float:
        """Traces with a failure, above what is usual."""
        return beyond_chance(self.failing, self.failing_scatter)

    @property
    def slowed(self) -> float:
        """Traces whose durations tell that they took longer than they usually do."""
        told = max(beyond_chance(self.longer, self.longer_scatter), beyond_chance(self.latest, self.latest_scatter))
        return min(self.through, told)

    @property
    def slow(self) -> float:
        """Those, or where durations tell nothing what else is known of slowness."""
        return max(self.surely_slow, self.slowed)

    @property
    def hit(self) -> float:
        """Traces that are hit, at least: what times out is slow and fails."""
        return max(self.surely, self.failed or self.logged, self.slowed)


def beyond_chance(more: float, variance: float) -> float:
    """Return a difference from what is usual, 0 when chance may have made it."""
    return more if more > _SCALES * math.sqrt(variance) else 0.0


@dataclass(slots=True)
class Hits:
    """Who came, and who is hit, by cause. ``work`` has the causes that no entry request reaches: their own traces."""

    requests: float = 0.0
    missing: float = 0.0
    """Entry requests that were expected and did not come."""
    failed: float = 0.0
    """Entry requests that failed where they came in, above what is usual there (signed)."""
    users: dict[str, Tally] = field(default_factory=dict)
    work: dict[str, Tally] = field(default_factory=dict)
    crowd: Crowd = field(default_factory=Crowd)

    def plus(self, other: Hits) -> Hits:
        """Return both added up."""
        return Hits(
            self.requests + other.requests, self.missing + other.missing, self.failed + other.failed,
            _added(self.users, other.users), _added(self.work, other.work), self.crowd.plus(other.crowd),
        )  # fmt: skip

    def without_people(self) -> Hits:
        """Return the same counts of nobody in particular."""
        return Hits(self.requests, self.missing, self.failed, self.users, self.work)

    @property
    def expected(self) -> float:
        """Entry requests that came, or should have."""
        return self.requests + self.missing

    @property
    def share(self) -> float:
        """Share of the entry requests that are hit, 0 to 1."""
        hit = max((one.hit for one in self.users.values()), default=0.0)
        return min(1.0, hit / self.expected) if self.expected else 0.0

    @property
    def users_share(self) -> float:
        """Share of the people who came that is hit, 0 to 1; 0 where spans do not say for whom they are."""
        if not self.crowd.came:
            return 0.0
        causes = self.users.values()
        failing = max((one.failed / one.failing_seen for one in causes if one.failing_seen), default=0.0)
        slow = max((one.slow / one.longer_seen for one in causes if one.longer_seen), default=0.0)
        return self.crowd.share(min(1.0, failing), min(1.0, slow))

    @property
    def work_share(self) -> float:
        """Share of their own work of the causes that no entry request reaches; 0 where one reaches any."""
        if any(one.through for one in self.users.values()):
            return 0.0
        return max((min(1.0, one.hit / one.through) for one in self.work.values() if one.through), default=0.0)

    @property
    def failed_requests(self) -> int:
        """Entry requests that failed because of a cause: no more than traces that failed with it."""
        most = max((one.failed for one in self.users.values()), default=0.0)
        return round(max(0.0, min(self.requests, self.failed, most)))

    @property
    def slow_requests(self) -> int:
        """Entry requests that took longer than usual."""
        return round(min(self.requests, max((one.slow for one in self.users.values()), default=0.0)))

    def packed(self) -> list[Any]:
        """As kept in the state."""
        return [self.requests, self.missing, self.failed, self.users, self.work, self.crowd.packed()]

    @staticmethod
    def unpacked(body: list[Any]) -> Hits:
        """Read `packed` back; of three numbers what was counted before there were causes: all, failed, through."""
        if len(body) == 3:
            requests, failed, through = body
            return Hits(requests, 0.0, failed, {"": Tally(through, through, max(0, through - failed), failing=failed)})
        requests, missing, failed, users, work, *crowd = body
        of_users, of_work = ({name: Tally(*one) for name, one in by_cause.items()} for by_cause in (users, work))
        return Hits(requests, missing, failed, of_users, of_work, Crowd.unpacked(crowd[0] if crowd else []))


def summed(hits: Iterable[Hits]) -> Hits:
    """Add up panes."""
    total = Hits()
    for one in hits:
        total = total.plus(one)
    return total


def _added(one: Mapping[str, Tally], other: Mapping[str, Tally]) -> dict[str, Tally]:
    return dict(one) | {name: one.get(name, Tally()).plus(tally) for name, tally in other.items()}
