"""How far below the impact a suspect is: trouble is passed on from callee to caller, so causes lie below what is felt.

The impact is the doors where users come in that feel it (slow or failing for who waits for them), or any door where
none does. Of two suspects of whom as much is known the one farther from it is likelier to be the cause, and the other
to wait for it. Distance is counted in calls, along the shortest way, and told in times of the farthest suspect's: one
call below the door is far in a shop of two layers. By itself it accuses nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from streams.hypotheses.nodes import Nodes
from streams.hypotheses.parts import Part
from streams.hypotheses.story import feels_since_ns


class Impact(NamedTuple):
    """Where it is felt, and how many calls below that each node is; what no call reaches is in none."""

    doors: list[str]
    is_felt: bool
    depths: Mapping[str, int]


def impact_of(nodes: Nodes) -> Impact:
    """Return the impact of an incident."""
    doors = nodes.doors()
    felt = [door for door in doors if feels_since_ns(door) is not None]
    names = [door.service for door in felt or doors]
    return Impact(names, bool(felt), nodes.depths(names))


def distance_part(service: str, impact: Impact, farthest: int, said: float) -> Part:
    """Return ``distance``. `farthest` is that of any suspect; `said` is the sum of the other parts' values."""
    depth = impact.depths.get(service, 0)
    if not depth:
        return Part("distance", 0.0, "")
    where = "where users feel it" if impact.is_felt else "where users come in"
    calls = "1 call" if depth == 1 else f"{depth} calls"
    why = f"{calls} below {', '.join(impact.doors)}, {where}; the farthest suspect is {farthest}"
    return Part("distance", depth / farthest * min(1.0, said), why)
