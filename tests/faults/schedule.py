"""When the workers are struck, and how: a schedule is all that its seed says, so a failure can be had again."""

from __future__ import annotations

import random
from dataclasses import dataclass
from enum import Enum

from schemas.failpoints import Failpoint


class Kind(Enum):
    """How a worker's life ends."""

    KILL = "kill"
    """SIGKILL from outside."""
    FAILPOINT = "failpoint"
    """SIGKILL by itself, at a step of its protocol."""
    STOP = "stop"
    """SIGSTOP until another has taken its partitions over, then SIGCONT: it goes on with what it had in hand."""
    END = "end"
    """SIGTERM: it may finish."""


class Moment(Enum):
    """The stage of its life in which it is struck."""

    STARTING = "starting"
    """It has its stores, and no partition."""
    ASSIGNED = "assigned"
    """It has partitions, and rebuilds its tables."""
    WORKING = "working"
    """It has taken so many records."""


ON_EVERY_PATH = tuple(
    point
    for point in Failpoint
    if not point.startswith(("letters.", "recovery.")) and point not in (Failpoint.CHECKED, Failpoint.REJECTED)
)
"""Failpoints that a worker passes without bad input and without a pending insert."""


@dataclass(frozen=True, slots=True)
class Strike:
    """The end of one worker's life. ``records`` is for `Moment.WORKING`."""

    kind: Kind
    moment: Moment
    records: int
    failpoint: str = ""
    leaves: bool = True
    """Whether the group learns of the death at once, as from a closed connection, or by its session time-out."""
    old_survives: bool = False
    """Which of the two workers of a `Kind.STOP` goes on: the one that stood still, or the other."""


def schedule(seed: int, count: int, records_a_life: int) -> list[Strike]:
    """Return ``count`` strikes: of ten, five kills, three failpoints, one stop and one orderly end."""
    draw = random.Random(seed)
    kinds = [Kind.KILL, Kind.FAILPOINT, Kind.KILL, Kind.STOP, Kind.FAILPOINT, Kind.KILL, Kind.END, Kind.FAILPOINT]
    strikes = []
    for number in range(count):
        kind = [*kinds, Kind.KILL, Kind.KILL][number % 10]
        early = kind is Kind.KILL and draw.random() < 0.3
        strikes.append(
            Strike(
                kind,
                draw.choice((Moment.STARTING, Moment.ASSIGNED)) if early else Moment.WORKING,
                draw.randint(1, records_a_life),
                f"{draw.choice(ON_EVERY_PATH)}:{draw.randint(1, 4)}" if kind is Kind.FAILPOINT else "",
                draw.random() < 0.7,
                draw.random() < 0.5,
            )
        )
    return strikes
