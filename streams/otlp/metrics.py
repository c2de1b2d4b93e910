"""Count what a metrics request holds; its values go to the store untouched."""

from __future__ import annotations

from streams.otlp.columns import MetricCounts, Reject, Signal
from streams.otlp.metric_checks import refused_points
from streams.otlp.resources import check_caps
from streams.otlp.slim import METRIC_TYPES
from streams.otlp.wrong_signal import parse_as, refuse_other_signals


def decode_metrics(payload: bytes) -> MetricCounts:
    """Count an ``ExportMetricsServiceRequest``; raises only `BadPayload`, and only for the whole message."""
    request = parse_as(Signal.METRICS, payload)
    by_resource = [[m for scope in resource.scopes for m in scope.metrics] for resource in request.resources]
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
                refused = [Reject(first + place, *why) for place, why in refused_points(kind, data)]
                first += len(data.points)
                points[kind] += len(data.points) - len(refused)
                rejects += refused
        items_by_resource.append(first - before)
    check_caps(items_by_resource)
    return MetricCounts(len(metrics), points, rejects)
