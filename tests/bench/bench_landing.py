"""How fast raw telemetry lands: bytes to ClickHouse as they are, against Python lists of the same spans.

    python tests/bench/bench_raw_landing.py [seconds per line]

Each line lands the same seeded messages again and again into an embedded ClickHouse in a temporary folder and prints
the median of its inserts. Spans: 500 a message, 12 attributes, about 514 bytes each. The naive line parses with
upb, builds rows and inserts them with the driver: what one would write first.
"""

from __future__ import annotations

import asyncio
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from schemas.settings import Settings
from sinks.clickhouse.client import ClickHouse
from sinks.clickhouse.landing import RawRow, RawSink
from sinks.clickhouse.migrate import migrate

ARRIVAL_NS = 1_780_000_000_000_000_000
MESSAGES = 20
BATCH = 80
TARGET_SPANS_PER_S = 110_000


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


def traces(chance: random.Random) -> bytes:
    """Return a message of 500 spans of 5 services."""
    request = ExportTraceServiceRequest()
    for number in range(5):
        of_service = request.resource_spans.add()
        of_service.resource.attributes.extend(resource_pairs(number))
        scope = of_service.scope_spans.add()
        scope.scope.name = "opentelemetry.instrumentation.fastapi"
        for _ in range(100):
            start = ARRIVAL_NS - chance.randrange(10**10)
            scope.spans.add(
                trace_id=chance.randbytes(16), span_id=chance.randbytes(8), parent_span_id=chance.randbytes(8),
                name=f"GET /api/v1/products/{chance.randrange(20)}", kind=chance.randrange(1, 6),
                start_time_unix_nano=start, end_time_unix_nano=start + chance.randrange(10**8),
                attributes=pairs(chance),
            )  # fmt: skip
    return request.SerializeToString()


def logs(chance: random.Random) -> bytes:
    """Return a message of 500 log records with three attributes."""
    request = ExportLogsServiceRequest()
    of_service = request.resource_logs.add()
    of_service.resource.attributes.extend(resource_pairs(1))
    scope = of_service.scope_logs.add()
    for _ in range(500):
        scope.log_records.add(
            time_unix_nano=ARRIVAL_NS - chance.randrange(10**10), severity_number=chance.choice((9, 13, 17)),
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
        attributes, time_ns = pairs(chance)[:3], ARRIVAL_NS - number * 10**9
        requests.sum.data_points.add(time_unix_nano=time_ns, as_int=number, attributes=attributes)
        counts = [chance.randrange(50) for _ in range(12)]
        durations.histogram.data_points.add(
            time_unix_nano=time_ns, count=sum(counts), sum=1.0, bucket_counts=counts, attributes=attributes,
            explicit_bounds=[float(2**step) for step in range(11)],
        )  # fmt: skip
    return request.SerializeToString()


async def naive(clickhouse: ClickHouse, values: list[bytes]) -> None:
    """Parse with upb, make a row of Python values of each span, insert the rows."""
    columns = ["tenant", "service", "start_time", "trace_id", "span_id", "name", "kind_code", "duration_ns",
               "attributes", "attribute_types", "resource_attributes"]  # fmt: skip
    rows = []
    for value in values:
        for of_service in ExportTraceServiceRequest.FromString(value).resource_spans:
            about = {pair.key: pair.value.string_value for pair in of_service.resource.attributes}
            for scope in of_service.scope_spans:
                for span in scope.spans:
                    kinds = {pair.key: pair.value.WhichOneof("value") for pair in span.attributes}
                    rows.append([
                        "naive", about["service.name"], datetime.fromtimestamp(span.start_time_unix_nano / 1e9, UTC),
                        span.trace_id, span.span_id, span.name, span.kind,
                        span.end_time_unix_nano - span.start_time_unix_nano,
                        {pair.key: str(getattr(pair.value, kinds[pair.key])) for pair in span.attributes},
                        {key: kind.removesuffix("_value") for key, kind in kinds.items() if kind != "string_value"},
                        about,
                    ])  # fmt: skip
    await clickhouse.insert_rows("spans", columns, rows)


async def measure(name: str, items: int, land: Callable[[int], Awaitable[None]], seconds: float) -> float:
    """Land for some seconds, print the median of items a second and of CPU a item; return the first."""
    await land(0)
    speeds, costs, until, number = [], [], time.perf_counter() + seconds, 1
    while time.perf_counter() < until or len(speeds) < 3:
        start, cpu = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        await land(number)
        end, spent = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
        speeds.append(items / (end - start))
        costs.append((spent.ru_utime + spent.ru_stime - cpu.ru_utime - cpu.ru_stime) / items * 1e6)
        number += 1
    speed = statistics.median(speeds)
    print(f"{name:<28}{speed:>12,.0f} /s{statistics.median(costs):>9.1f} us CPU{len(speeds):>5} inserts")
    return speed


async def main(seconds: float) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        clickhouse = await ClickHouse.open(f"chdb://{folder}/clickhouse")
        await migrate(clickhouse, Settings(_env_file=None))
        sink, speeds = RawSink(clickhouse), {}
        for topic, make in (("otel.traces", traces), ("otel.logs", logs), ("otel.metrics", metrics)):
            chance = random.Random(7)
            values = [make(chance) for _ in range(MESSAGES)]

            async def land(number: int, size: int, topic: str = topic, values: list[bytes] = values) -> None:
                rows = [RawRow("bench", 0, number * size + n, values[n % MESSAGES], ARRIVAL_NS) for n in range(size)]
                await sink.insert(topic, rows, token=f"{topic}:{size}:{number}")

            print(f"{topic}: {sum(map(len, values)) / MESSAGES / 500:.0f} bytes an item")
            for size in (1, 8, BATCH):
                name = f"  {size} x 500 an insert"
                speeds[topic, size] = await measure(name, size * 500, lambda n, size=size: land(n, size), seconds)
        spans = [traces(random.Random(7)) for _ in range(8)]
        lists = await measure("naive Python lists, 8 x 500", 4000, lambda _: naive(clickhouse, spans), seconds)
        best = speeds["otel.traces", BATCH]
        verdict = "met" if best >= TARGET_SPANS_PER_S else "missed"
        print(f"spans: {best / lists:.1f} x naive; target {TARGET_SPANS_PER_S:,} /s {verdict}")
        await clickhouse.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1]) if len(sys.argv) > 1 else 3.0))
