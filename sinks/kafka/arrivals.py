"""When a record arrived, by what Kafka says of it: a producer's word, which may be any 64-bit number."""

from __future__ import annotations

EARLIEST_MS = 1_262_304_000_000
"""The year 2010, before there was Kafka: what is earlier is no time but a mistake (seconds, a sign, -1 for none)."""

UNTOLD_NS = 2**63 - 1
"""Stands for the arrival of a record that does not tell it. Of the future, so that one rule brings both to the present:
that of whoever reads it first, and for what is stored the clock of the insert, which a repetition has again.
"""


def arrival_ns(timestamp_ms: int | None) -> int:
    """Return when a record arrived (ns), within int64; `UNTOLD_NS` where its timestamp cannot be a time."""
    if timestamp_ms is None or timestamp_ms < EARLIEST_MS:
        return UNTOLD_NS
    return min(timestamp_ms * 1_000_000, UNTOLD_NS)
