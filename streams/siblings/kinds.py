"""What of an instance's requests is held against its siblings': those that are slow, and those that fail.

Whatever is kept or computed by kind has its last axes in the order of `KINDS`.
"""

from __future__ import annotations

from schemas.deviations import INSTANCE_KINDS as KINDS

__all__ = ["FAILED", "KINDS", "SIZES", "SLOW"]

SLOW, FAILED = range(2)
SIZES = 2
"""Sizes of a rise that are tried: sums of each instance and kind."""
