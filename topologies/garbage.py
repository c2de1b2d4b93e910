"""How often Python looks for objects that only refer to each other."""

from __future__ import annotations

import gc

THRESHOLDS = (100_000, 50, 100)
"""New objects until the youngest are looked through, and how many such looks until the older ones are.

Python's own 700 are reached by fifty small records of Kafka, and each look goes through the records of a batch that
are all still in use: a third of a worker's time. What only refers to itself here is small (tasks, tracebacks) and rare.
"""


def collect_seldom() -> None:
    """Look seldom in this process, and never at what is there by now: modules, classes, compiled code."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
