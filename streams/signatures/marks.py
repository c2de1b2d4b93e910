"""Exceptions that are told of twice, in a log record and in an event of their span, counted once.

Each place keeps the smallest hashes of what it told of (a bottom-k sketch: Cohen and Kaplan, "Summarizing data using
bottom-k sketches", PODC 2007). Both hash the same things, so what both keep, both told of. Sketches of parts merge into
the sketch of the whole, in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

MAX_MARKS = 32
"""Hashes that are kept. Of less exceptions the number told twice is exact; else it is estimated, exactly where
all or none of them are."""


@dataclass(slots=True)
class Marks:
    """How many exceptions of known spans were told of, and the smallest of their hashes, in order."""

    count: int = 0
    least: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, marks: Sequence[int]) -> Marks:
        """Return the marks of exceptions; 0 is that of an exception of no known span."""
        known = [mark for mark in marks if mark]
        return cls(len(known), _least(known))

    def add(self, other: Marks) -> None:
        """Add what another source told of."""
        self.count += other.count
        if other.least:
            self.least = _least([*self.least, *other.least])


def told_twice(one: Marks, other: Marks) -> int:
    """Return how many exceptions both told of, by the share that both have of the smallest hashes of either."""
    both = set(one.least) & set(other.least)
    if not both or max(len(one.least), len(other.least)) < MAX_MARKS:  # all of them are here
        return len(both)
    sampled = _least([*one.least, *other.least])
    share = len(both.intersection(sampled)) / len(sampled)
    return min(one.count, other.count, round(share / (1 + share) * (one.count + other.count)))


def _least(marks: Iterable[int]) -> list[int]:
    return sorted(set(marks))[:MAX_MARKS]
