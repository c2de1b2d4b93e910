"""All five metric types land whole; what cannot be true is rejected point by point."""

from __future__ import annotations

import math
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric
from otlp_examples import ARRIVAL_NS, EVERY_TYPE, SPAN_ID, TRACE_ID, gauges, pairs

from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink

DELTA, CUMULATIVE = 1, 2


def metrics(*made: Metric) -> ExportMetricsServiceRequest:
    """Return a request with these metrics of one service."""
    request = gauges(0)
    scope = request.resource_metrics[0].scope_metrics[0]
    del scope.metrics[:]
    scope.metrics.extend(made)
    return request


def histogram(**changes: Any) -> Metric:
    """Return a sound histogram of one point, but for some changes."""
    point = {"count": 6, "sum": 9.5, "min": 0.5, "max": 4.0, "bucket_counts": [1, 2, 3], "explicit_bounds": [1.0, 2.0]}
    temporality = changes.pop("temporality", CUMULATIVE)
    metric = Metric(name="http.server.duration", unit="ms")
    metric.histogram.aggregation_temporality = temporality
    metric.histogram.data_points.add(time_unix_nano=ARRIVAL_NS, **(point | changes))
    return metric


def exponential(**changes: Any) -> Metric:
    """Return a sound exponential histogram of one point, but for some changes."""
    temporality = changes.pop("temporality", DELTA)
    metric = Metric(name="db.duration")
    metric.exponential_histogram.aggregation_temporality = temporality
    point = {"count": 6, "sum": 9.5, "scale": 3, "zero_count": 1, "zero_threshold": 0.001}
    added = metric.exponential_histogram.data_points.add(time_unix_nano=ARRIVAL_NS, **(point | changes))
    added.positive.offset = -2
    added.positive.bucket_counts.extend([1, 2])
    added.negative.offset = 4
    added.negative.bucket_counts.append(2)
    return metric


async def land(sink: RawSink, tenant: str, request: Any) -> None:
    """Land one request."""
    await sink.insert("otel.metrics", [RawRow(tenant, 0, 0, request.SerializeToString(), ARRIVAL_NS)])


async def stored(
    clickhouse: ClickHouse, tenant: str, columns: str, table: str = "metric_points"
) -> list[tuple[Any, ...]]:
    """Return columns of a tenant's rows, in the order they were sent."""
    sql = f"SELECT {columns} FROM {table} WHERE tenant = {{tenant:String}} ORDER BY kafka_offset, item"
    return [tuple(row.values()) for row in await clickhouse.query(sql, {"tenant": tenant})]


async def test_a_gauge_keeps_integers_exactly(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Doubles as doubles; integers also as themselves, beyond 2^53; attributes with their types."""
    metric = Metric(name="queue.depth", unit="1", description="Waiting jobs")
    metric.gauge.data_points.add(time_unix_nano=ARRIVAL_NS, as_int=2**62 + 1).attributes.extend(pairs(EVERY_TYPE))
    metric.gauge.data_points.add(time_unix_nano=ARRIVAL_NS, as_double=0.5, start_time_unix_nano=7)
    await land(sink, tenant, metrics(metric))
    assert await stored(clickhouse, tenant, "type, value, value_int, start_unix_nano, metric, unit, description") == [
        ("gauge", float(2**62 + 1), 2**62 + 1, 0, "queue.depth", "1", "Waiting jobs"),
        ("gauge", 0.5, None, 7, "queue.depth", "1", "Waiting jobs"),
    ]
    columns = "attributes['ratio'], attribute_types['ratio'], attribute_types['yes']"
    assert (await stored(clickhouse, tenant, columns))[0] == ("0.25", "double", "bool")


@pytest.mark.parametrize(("temporality", "name"), [(DELTA, "delta"), (CUMULATIVE, "cumulative")])
@pytest.mark.parametrize("monotonic", [True, False])
async def test_a_sum_knows_its_temporality(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, temporality: int, name: str, monotonic: bool
) -> None:
    """Delta or cumulative, monotonic or not."""
    metric = Metric(name="http.requests")
    metric.sum.aggregation_temporality, metric.sum.is_monotonic = temporality, monotonic  # type: ignore[assignment]
    metric.sum.data_points.add(time_unix_nano=ARRIVAL_NS, as_int=-3)
    await land(sink, tenant, metrics(metric))
    columns = "type, temporality, is_monotonic, value"
    assert await stored(clickhouse, tenant, columns) == [("sum", name, monotonic, -3.0)]


@pytest.mark.parametrize(("temporality", "name"), [(DELTA, "delta"), (CUMULATIVE, "cumulative")])
async def test_a_histogram_lands_whole(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, temporality: int, name: str
) -> None:
    """Counts, bounds, sum, extremes; one without buckets too, whose sum is not known."""
    bare = histogram(temporality=temporality, bucket_counts=[], explicit_bounds=[])
    for field in ("sum", "min", "max"):
        bare.histogram.data_points[0].ClearField(field)
    await land(sink, tenant, metrics(histogram(temporality=temporality), bare))
    columns = "type, temporality, count, sum, min, max, bucket_counts, bounds"
    assert await stored(clickhouse, tenant, columns) == [
        ("histogram", name, 6, 9.5, 0.5, 4.0, [1, 2, 3], [1.0, 2.0]),
        ("histogram", name, 6, None, None, None, [], []),
    ]


@pytest.mark.parametrize(("temporality", "name"), [(DELTA, "delta"), (CUMULATIVE, "cumulative")])
async def test_an_exponential_histogram_lands_whole(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, temporality: int, name: str
) -> None:
    """Scale, zero bucket, both sides with their offsets, negative ones too."""
    await land(sink, tenant, metrics(exponential(temporality=temporality)))
    columns = (
        "type, temporality, count, sum, scale, zero_count, zero_threshold,"
        " positive_offset, positive_counts, negative_offset, negative_counts"
    )
    assert await stored(clickhouse, tenant, columns) == [
        ("exponential_histogram", name, 6, 9.5, 3, 1, 0.001, -2, [1, 2], 4, [2])
    ]


async def test_a_summary_lands_whole(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Its quantiles with their values."""
    metric = Metric(name="gc.pause")
    point = metric.summary.data_points.add(time_unix_nano=ARRIVAL_NS, count=4, sum=3.0)
    point.quantile_values.add(quantile=0.5, value=0.25)
    point.quantile_values.add(quantile=0.99, value=2.0)
    await land(sink, tenant, metrics(metric))
    columns = "type, count, sum, quantiles, quantile_values"
    assert await stored(clickhouse, tenant, columns) == [("summary", 4, 3.0, [0.5, 0.99], [0.25, 2.0])]


async def test_exemplars_point_at_their_trace(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """With value, ids in hex, and what was filtered out of the attributes."""
    metric = histogram()
    exemplar = metric.histogram.data_points[0].exemplars.add(
        time_unix_nano=ARRIVAL_NS, as_double=3.5, trace_id=TRACE_ID, span_id=SPAN_ID
    )
    exemplar.filtered_attributes.extend(pairs({"user": 7}))
    metric.histogram.data_points[0].exemplars.add(time_unix_nano=ARRIVAL_NS, as_int=2)
    await land(sink, tenant, metrics(metric))
    [[exemplars]] = await stored(clickhouse, tenant, "exemplars")
    assert [(e["value"], e["value_int"], e["trace_id"], e["span_id"]) for e in exemplars] == [
        (3.5, None, TRACE_ID.hex(), SPAN_ID.hex()),
        (2.0, 2, "", ""),
    ]
    assert (exemplars[0]["attributes"], exemplars[0]["attribute_types"]) == ({"user": "7"}, {"user": "int"})


@pytest.mark.parametrize(
    ("metric", "reason"),
    [
        (histogram(explicit_bounds=[1.0, 2.0, 3.0]), "bad_histogram"),
        (histogram(explicit_bounds=[]), "bad_histogram"),
        (histogram(explicit_bounds=[2.0, 1.0]), "bad_histogram"),
        (histogram(explicit_bounds=[1.0, 1.0]), "bad_histogram"),
        (histogram(explicit_bounds=[1.0, math.nan]), "bad_histogram"),
        (histogram(count=7), "bad_histogram"),
        (histogram(temporality=0), "bad_temporality"),
        (histogram(temporality=9), "bad_temporality"),
        (exponential(scale=21), "bad_histogram"),
        (exponential(scale=-11), "bad_histogram"),
        (exponential(count=5), "bad_histogram"),
        (exponential(temporality=0), "bad_temporality"),
    ],
)
async def test_a_point_that_cannot_be_true_is_rejected_alone(
    clickhouse: ClickHouse, sink: RawSink, tenant: str, metric: Metric, reason: str
) -> None:
    """Its neighbours are stored, before and after."""
    await land(sink, tenant, metrics(histogram(), metric, exponential()))
    assert await stored(clickhouse, tenant, "item") == [(0,), (2,)]
    assert await stored(clickhouse, tenant, "item, reason, topic", "rejected_items") == [(1, reason, "otel.metrics")]


async def test_a_sum_without_temporality_is_rejected(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """Nobody could know whether to add it or to subtract from it."""
    metric = Metric(name="http.requests")
    metric.sum.data_points.add(time_unix_nano=ARRIVAL_NS, as_int=3)
    await land(sink, tenant, metrics(metric))
    assert await stored(clickhouse, tenant, "item") == []
    assert await stored(clickhouse, tenant, "reason", "rejected_items") == [("bad_temporality",)]


async def test_what_is_not_a_number_is_stored_and_marked(clickhouse: ClickHouse, sink: RawSink, tenant: str) -> None:
    """NaN, the infinities and "no recorded value" have marks that aggregates can leave out."""
    metric = Metric(name="ratio")
    for value in (math.nan, math.inf, -math.inf, 1.0):
        metric.gauge.data_points.add(time_unix_nano=ARRIVAL_NS, as_double=value)
    metric.gauge.data_points.add(time_unix_nano=ARRIVAL_NS, flags=1)
    await land(sink, tenant, metrics(metric))
    assert await stored(clickhouse, tenant, "isNaN(value), marks") == [(1, 4), (0, 4), (0, 4), (0, 0), (None, 8)]
