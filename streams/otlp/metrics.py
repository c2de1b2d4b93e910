"""Count what a metrics request holds, and name its gauges and sums; all values go to the store untouched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from streams.otlp.columns import MAX_ITEMS, MetricCounts, Reject, ResourceMetrics, Signal
from streams.otlp.metric_checks import refused_points
from streams.otlp.resources import check_caps
from streams.otlp.slim import METRIC_TYPES
from streams.otlp.wrong_signal import parse_as, refuse_other_signals

MOST_POINTS = 16
"""A metric with more points in one message is broken down by something of a request, and no series that explains."""

_CUMULATIVE = 2
_DELTA_OR_CUMULATIVE = (1, 2)


def decode_metrics(payload: bytes) -> MetricCounts:
    """Count an ``ExportMetricsServiceRequest``; raises only `BadPayload`, and only for the whole message."""
    request = parse_as(Signal.METRICS, payload)
    by_resource = [[m for scope in resource.scopes for m in scope.metrics] for resource in request.resources]
    check_caps([len(found) for found in by_resource])  # metrics without points are no items, and take as much
    metrics = [metric for found in by_resource for metric in found]
    if metrics and all(len(metric.name) in (0, 16) for metric in metrics):
        refuse_other_signals(Signal.METRICS, payload)
    points, rejects, first = dict.fromkeys(METRIC_TYPES, 0), list[Reject](), 0
    items_by_resource = []
    for found in by_resource:
        before = first
        for metric in found:
            for kind in METRIC_TYPES:
                data = getattr(metric, kind)
                if first + len(data.points) > MAX_ITEMS:  # before each point is judged
                    check_caps([first + len(data.points)])
                refused = [Reject(first + place, *why) for place, why in refused_points(kind, data)]
                first += len(data.points)
                points[kind] += len(data.points) - len(refused)
                rejects += refused
        items_by_resource.append(first - before)
    check_caps(items_by_resource)
    attributes = (resource.resource.attributes for resource in request.resources)
    resources = [ResourceMetrics(*each) for each in zip(attributes, by_resource, strict=True)]
    return MetricCounts(len(metrics), points, rejects, resources)


def numbers_of(metric: Any) -> tuple[Sequence[bytes], bool]:
    """Return the points of a gauge or a sum, and whether it is a counter: values are to be read as their increase.

    None of any other metric, of one with more than `MOST_POINTS`, and of one that cannot be used.
    """
    is_sum = metric.HasField("sum")
    data = metric.sum if is_sum else metric.gauge
    if len(data.points) > MOST_POINTS or (is_sum and data.temporality not in _DELTA_OR_CUMULATIVE):
        return (), False
    return data.points, is_sum and data.is_monotonic and data.temporality == _CUMULATIVE
