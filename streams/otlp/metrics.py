"""Count what a metrics request holds; its values go to the store untouched."""

from __future__ import annotations

from streams.otlp.columns import MetricCounts, Signal
from streams.otlp.resources import check_caps
from streams.otlp.wrong_signal import parse_as, refuse_other_signals

_TYPES = ("gauge", "sum", "histogram", "exponential_histogram", "summary")


def decode_metrics(payload: bytes) -> MetricCounts:
    """Count an ``ExportMetricsServiceRequest``; raises only `BadPayload`, and only for the whole message."""
    request = parse_as(Signal.METRICS, payload)
    by_resource = [[m for scope in resource.scopes for m in scope.metrics] for resource in request.resources]
    metrics = [metric for found in by_resource for metric in found]
    if metrics and all(len(metric.name) in (0, 16) for metric in metrics):
        refuse_other_signals(Signal.METRICS, payload)
    points = dict.fromkeys(_TYPES, 0)
    items_by_resource = []
    for found in by_resource:
        before = sum(points.values())
        for metric in found:
            for kind in _TYPES:
                points[kind] += len(getattr(metric, kind).points)
        items_by_resource.append(sum(points.values()) - before)
    check_caps(items_by_resource)
    return MetricCounts(len(metrics), points)
