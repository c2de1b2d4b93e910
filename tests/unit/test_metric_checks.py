"""Metric points that cannot be used, each with the reason."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from streams.otlp import decode_metrics

DELTA = 1


def request_of(kind: str, temporality: int, *points: dict[str, Any]) -> bytes:
    """Return one metric with these points."""
    request = ExportMetricsServiceRequest()
    data = getattr(request.resource_metrics.add().scope_metrics.add().metrics.add(name="latency"), kind)
    if kind not in ("gauge", "summary"):
        data.aggregation_temporality = temporality
    for point in points:
        data.data_points.add(**point)
    return request.SerializeToString()


def exponential(**changes: Any) -> dict[str, Any]:
    """Return an exponential histogram point of five values."""
    return {
        "count": 5,
        "zero_count": 1,
        "positive": {"bucket_counts": [1, 2]},
        "negative": {"bucket_counts": [1]},
    } | changes


SOUND = {"count": 3, "bucket_counts": [1, 2], "explicit_bounds": [0.5]}


@pytest.mark.parametrize(
    ("kind", "point", "detail"),
    [
        ("histogram", SOUND | {"explicit_bounds": []}, "2 buckets for 0 bounds"),
        ("histogram", SOUND | {"count": 4}, "buckets do not add up to the count"),
        ("histogram", {"count": 3, "bucket_counts": [1, 1, 1], "explicit_bounds": [2.0, 1.0]}, "bounds do not ascend"),
        (
            "histogram",
            {"count": 3, "bucket_counts": [1, 1, 1], "explicit_bounds": [1.0, float("nan")]},
            "bounds do not ascend",
        ),
        ("exponential_histogram", exponential(scale=21), "scale 21"),
        ("exponential_histogram", exponential(count=6), "buckets do not add up to the count"),
    ],
)
def test_bad_histogram_is_refused_and_its_neighbours_are_not(kind: str, point: dict[str, Any], detail: str) -> None:
    """The reject names the item."""
    good = SOUND if kind == "histogram" else exponential()
    counts = decode_metrics(request_of(kind, DELTA, good, point, good))
    assert [(reject.item, reject.reason, reject.detail) for reject in counts.rejects] == [(1, "bad_histogram", detail)]
    assert len(counts) == 2


@pytest.mark.parametrize("kind", ["sum", "histogram", "exponential_histogram"])
@pytest.mark.parametrize("temporality", [0, 3])
def test_without_a_temporality_a_number_means_nothing(kind: str, temporality: int) -> None:
    """All points of the metric are refused."""
    counts = decode_metrics(request_of(kind, temporality, {}, {}))
    assert [(reject.item, reject.reason) for reject in counts.rejects] == [
        (0, "bad_temporality"),
        (1, "bad_temporality"),
    ]


def test_histogram_without_buckets_is_sound() -> None:
    """It tells count and sum only (metrics data model, "Histogram")."""
    assert not decode_metrics(request_of("histogram", DELTA, {"count": 3, "sum": 1.5})).rejects


def test_gauges_and_summaries_need_no_temporality() -> None:
    """They have none."""
    for kind in ("gauge", "summary"):
        assert len(decode_metrics(request_of(kind, 0, {}, {}))) == 2
