"""The settings of the point detector. One configuration serves every series."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PointConfig:
    """How a point is compared with its past. Lengths are in points, whatever the interval between them."""

    shapes: tuple[int, ...] = (1, 8)
    """A point is looked at by itself and with the seven before it: a value and a course can be unusual."""
    neighbours: int = 10
    """How far away its so many nearest neighbours are is how strange a point is."""
    half: int = 1200
    """Points that are neighbours, and as many newer ones that say how strange a usual point is, at most."""
    least: int = 30
    """Usual points without which nothing is judged."""
    refit: int = 300
    """The metric is fitted again after so many points at most."""
    ridge: float = 1e-6
    """Added to the covariance, as a share of its mean variance: a series may be constant."""
    alarm: float = 1.1
    """A point that is so many times as strange as the strangest usual one is an alarm."""
    rest: int = 120
    """After an alarm the next so many points raise none: one alarm an episode."""
