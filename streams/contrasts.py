"""Which attribute values separate failing or slow spans from the others: counts in, a ranking out.

A value is judged by how far the share of bad spans that have it lies above that of normal ones *at least*: the lower
Wilson bound of the one less the upper bound of the other (intervals: Wilson, JASA 1927). So three of three against none
of five says less than 300 of 300 against none of 500.
"""

from __future__ import annotations

from collections.abc import Iterable

from schemas.pins import AttributeContrast
from schemas.queries import AttributeCount
from streams.slo import wilson_lower

_Z = 1.96
_LEAST_SEPARATION = 0.05
MOST_CONTRASTS = 10
_PASSING = frozenset({"client.port", "net.peer.port", "net.sock.peer.port", "network.peer.port", "source.port"})
"""Attributes that each connection has another value of: they separate spans by chance, and explain nothing."""


def contrasts_of(counts: Iterable[AttributeCount], most: int = MOST_CONTRASTS) -> list[AttributeContrast]:
    """Return the values that bad spans have more often, most telling first; ties by name. Deterministic."""
    found = [
        AttributeContrast(
            source=one.source, key=one.key, value=one.value, bad=one.bad, bad_total=one.bad_total, normal=one.normal,
            normal_total=one.normal_total, separation=round(_separation(one), 4),
        )
        for one in counts
        if one.bad_total and one.normal_total and one.key not in _PASSING
    ]  # fmt: skip
    telling = [one for one in found if one.separation >= _LEAST_SEPARATION]
    telling.sort(key=lambda one: (-one.separation, one.source, one.key, one.value))
    return telling[:most]


def _separation(count: AttributeCount) -> float:
    low = wilson_lower(count.bad, count.bad_total, _Z)
    high = 1.0 - wilson_lower(count.normal_total - count.normal, count.normal_total, _Z)
    return max(0.0, low - high)
