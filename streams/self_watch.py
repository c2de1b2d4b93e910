"""When the product tells its operator that its own ingest is not well: a decision with a named reason.

::

    delay over the limit in two looks ─▶ FIRST … under half of the limit ─▶ RESOLVED
"""

from __future__ import annotations

from dataclasses import dataclass

from schemas.incidents import NotifyReason

LOOKS = 2
"""So many looks in a row must agree before anything is told: a rebalance is no outage."""


@dataclass(frozen=True, slots=True)
class Watched:
    """What the watch remembers of one ailment: whether it was told, and how many looks in a row spoke for a change."""

    told: bool = False
    looks: int = 0


def judge(watched: Watched, value: float, limit: float) -> tuple[Watched, NotifyReason]:
    """Return what to remember, and whether to tell: the value is over ``limit``, or back under half of it.

    A ``limit`` of 0 means that anything is too much.
    """
    is_change = value <= limit / 2 if watched.told else value > limit
    if not is_change:
        return Watched(watched.told), NotifyReason.NOTHING_NEW
    if watched.looks + 1 < LOOKS:
        return Watched(watched.told, watched.looks + 1), NotifyReason.NOT_YET
    return Watched(not watched.told), NotifyReason.RESOLVED if watched.told else NotifyReason.FIRST
