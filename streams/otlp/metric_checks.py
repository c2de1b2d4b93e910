"""Which metric points cannot be used: the rules of the OpenTelemetry metrics data model that a point can break.

They are the rules by which ClickHouse sorts points into ``metric_points`` and ``rejected_items`` (migration 0005), so
that a dead letter is written for exactly what is not stored.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from google.protobuf.message import DecodeError

from schemas.errors import RejectReason
from streams.otlp.slim import ExponentialPoint, HistogramPoint

Why = tuple[RejectReason, str]

_DELTA_OR_CUMULATIVE = (1, 2)
_SCALES = range(-10, 21)
_UINT64 = (1 << 64) - 1
"""ClickHouse adds counts up as UInt64."""


def refused_points(kind: str, data: Any) -> Iterator[tuple[int, Why]]:
    """Yield the places of the points of one metric that cannot be used, each with the reason and a detail."""
    if kind in ("gauge", "summary") or not data.points:
        return
    if data.temporality not in _DELTA_OR_CUMULATIVE:
        why = (RejectReason.BAD_TEMPORALITY, f"aggregation temporality {data.temporality} of a {kind}")
        yield from ((place, why) for place in range(len(data.points)))
    elif kind != "sum":
        judge = _judge_histogram if kind == "histogram" else _judge_exponential
        for place, raw in enumerate(data.points):
            detail = judge(raw)
            if detail:
                yield place, (RejectReason.BAD_HISTOGRAM, detail)


def _judge_histogram(raw: bytes) -> str:
    try:
        point = HistogramPoint.FromString(raw)
    except DecodeError:
        return ""  # then the message is none for ClickHouse either
    counts, bounds = point.bucket_counts, point.bounds
    if not counts and not bounds:
        return ""
    if len(counts) != len(bounds) + 1:
        return f"{len(counts)} buckets for {len(bounds)} bounds"
    if not all(low < high for low, high in pairwise(bounds)):
        return "bounds do not ascend"
    return "" if sum(counts) & _UINT64 == point.count else "buckets do not add up to the count"


def _judge_exponential(raw: bytes) -> str:
    try:
        point = ExponentialPoint.FromString(raw)
    except DecodeError:
        return ""
    if point.scale not in _SCALES:
        return f"scale {point.scale}"
    total = point.zero_count + sum(point.positive.bucket_counts) + sum(point.negative.bucket_counts)
    return "" if total & _UINT64 == point.count else "buckets do not add up to the count"
