"""Seeded messages of logs and of metrics, 500 items each."""

from __future__ import annotations

import random

from load import BEGIN_NS
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue


def pairs(chance: random.Random) -> list[KeyValue]:
    """Return twelve attributes of a web request."""
    text = {
        "http.request.method": "GET", "url.path": f"/api/v1/products/{chance.randrange(1000)}", "url.scheme": "http",
        "server.address": "shop.internal.example", "client.address": f"10.0.0.{chance.randrange(256)}",
        "network.protocol.version": "1.1", "user_agent.original": "Mozilla/5.0 (X11; Linux x86_64) Firefox/140.0",
        "app.session.id": f"{chance.getrandbits(96):024x}",
    }  # fmt: skip
    numbers = {"http.response.status_code": 200, "server.port": 8080, "thread.id": chance.randrange(10**6)}
    return [
        *(KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in text.items()),
        *(KeyValue(key=key, value=AnyValue(int_value=value)) for key, value in numbers.items()),
        KeyValue(key="app.total", value=AnyValue(double_value=chance.random())),
    ]


def resource_pairs(number: int) -> list[KeyValue]:
    """Return the attributes of one of some services."""
    text = {"service.name": f"service-{number}", "host.name": f"host-{number}", "service.version": "1.2.3"}
    return [KeyValue(key=key, value=AnyValue(string_value=value)) for key, value in text.items()]


def logs(chance: random.Random) -> bytes:
    """Return a message of 500 log records with three attributes."""
    request = ExportLogsServiceRequest()
    of_service = request.resource_logs.add()
    of_service.resource.attributes.extend(resource_pairs(1))
    scope = of_service.scope_logs.add()
    for _ in range(500):
        scope.log_records.add(
            time_unix_nano=BEGIN_NS - chance.randrange(10**10), severity_number=chance.choice((9, 13, 17)),
            trace_id=chance.randbytes(16), span_id=chance.randbytes(8), attributes=pairs(chance)[:3],
            body=AnyValue(string_value=f"order {chance.randrange(10**6)} paid after {chance.randrange(900)} ms"),
        )  # fmt: skip
    return request.SerializeToString()


def metrics(chance: random.Random) -> bytes:
    """Return a message of 500 points: half sums, half histograms of 12 buckets."""
    request = ExportMetricsServiceRequest()
    of_service = request.resource_metrics.add()
    of_service.resource.attributes.extend(resource_pairs(1))
    scope = of_service.scope_metrics.add()
    requests, durations = scope.metrics.add(name="requests"), scope.metrics.add(name="duration", unit="ms")
    requests.sum.aggregation_temporality = durations.histogram.aggregation_temporality = 2
    for number in range(250):
        attributes, time_ns = pairs(chance)[:3], BEGIN_NS - number * 10**9
        requests.sum.data_points.add(time_unix_nano=time_ns, as_int=number, attributes=attributes)
        counts = [chance.randrange(50) for _ in range(12)]
        durations.histogram.data_points.add(
            time_unix_nano=time_ns, count=sum(counts), sum=1.0, bucket_counts=counts, attributes=attributes,
            explicit_bounds=[float(2**step) for step in range(11)],
        )  # fmt: skip
    return request.SerializeToString()
