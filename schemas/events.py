"""What all events have in common: what topics, stores and the API carry.

Latencies are float milliseconds (``*_ms``), rates are per second, ratios are in [0, 1], instants are integer
Unix nanoseconds (``*_ns``) in event time. A quantile of nothing is ``None``, never NaN.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Event(BaseModel):
    """A frozen record with a closed set of fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")
