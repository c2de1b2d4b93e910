"""The people who came in by the doors, and those of them that an incident hit: samples of hashes, never ids."""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.people import Mark, PeopleSample

LEAST_PEOPLE = 20
"""Of fewer in the sample nobody can tell a share."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """Who came; and who met with a failure at a cause, or with slowness (marked by a ``longest`` of 1)."""

    came: PeopleSample = field(default_factory=PeopleSample)
    met: PeopleSample = field(default_factory=PeopleSample)

    def plus(self, other: Crowd) -> Crowd:
        """Return both together; who is in both is one."""
        return Crowd(self.came.plus(other.came), self.met.plus(other.met))

    def share(self, failing: float, slow: float) -> float:
        """Return the share of the people that is hit; 0 where too few are known.

        ``failing`` and ``slow`` are what share of the failing and of the slow traces is more than usual: so much of
        each person who met with one is counted.
        """
        limit = min(self.came.limit, self.met.limit)
        came = len(self.came.below(limit))
        if came < LEAST_PEOPLE:
            return 0.0
        met = self.met.below(limit).values()
        hit = sum(max(failing if mark.failed else 0.0, slow if mark.longest else 0.0) for mark in met)
        return min(1.0, hit / came)

    def packed(self) -> list[bytes]:
        """As kept in the state; of nobody nothing."""
        return [self.came.encode(), self.met.encode()] if self.came else []

    @staticmethod
    def unpacked(body: list[bytes]) -> Crowd:
        """Read `packed` back."""
        return Crowd(*(PeopleSample.decode(one) for one in body))


def those_who_met(people: PeopleSample, fails: bool, longer_than: int | None) -> PeopleSample:
    """Return the people with a failing trace (where failures count), or with one that is in a later bin than this."""
    found = {
        hashed: Mark(fails and mark.failed, int(longer_than is not None and mark.longest > longer_than))
        for hashed, mark in people.marks.items()
    }
    return PeopleSample({hashed: mark for hashed, mark in found.items() if any(mark)}, people.limit)
