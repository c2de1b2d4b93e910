"""Span metrics and service edges in one shape, whoever computed them."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass, field

BOUNDS_MS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000)
"""Upper bounds (inclusive) of the latency buckets that are compared; one more bucket lies above."""

KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")

Operation = tuple[str, str, str]
"""(service, span name, kind in words)"""

Edge = tuple[str, str]
"""(client service, server service)"""


@dataclass
class Figures:
    """Totals of a recording."""

    calls: Counter[tuple[str, str, str, bool]] = field(default_factory=Counter)
    """By operation and whether they failed."""
    requests: Counter[Edge] = field(default_factory=Counter)
    failures: Counter[Edge] = field(default_factory=Counter)


def bucket_of(duration_ns: float) -> int:
    """Return the place of the bucket a duration falls in."""
    return bisect_left(BOUNDS_MS, duration_ns / 1e6)


def p95_bucket(counts: list[int]) -> int:
    """Return the bucket in which the 95th percentile (nearest rank) lies."""
    rank = max(1, -(-95 * sum(counts) // 100))
    seen = 0
    for place, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return place
    raise ValueError("a p95 of nothing")
