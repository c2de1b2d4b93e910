"""A part of a suspect's score before it is weighed."""

from __future__ import annotations

from typing import NamedTuple

from schemas.snapshots import SeriesFinding
from streams.incidents.words import amount


class Part(NamedTuple):
    """One visible part: ``value`` is 0 for nothing, 1 for clear, about 3 for the most."""

    name: str
    value: float
    why: str


def rise(what: str, finding: SeriesFinding) -> str:
    """Return how far a series went, in words."""
    peak = finding.peak
    return f"{what} up to {amount(peak.value, peak.unit)} (normally {amount(peak.median, peak.unit)})"
