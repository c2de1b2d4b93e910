"""Seeded OTLP requests with all that senders write, and much that they do not: long, odd, empty and repeated."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValue, KeyValueList

from streams.flat_columns import FLAT_TOPICS, Flattener

ARRIVAL_NS = 1_780_000_000_000_000_000
KEYS = ("http.request.method", "service.name", "retries", "ünïcode", "", "k" * 130, "same", "same")
TIMES_NS = (0, 1, ARRIVAL_NS, ARRIVAL_NS - 10**9, ARRIVAL_NS - 10**15, ARRIVAL_NS + 10**15, 2**63, 2**64 - 1)
LENGTHS = (0, 1, 7, 8, 9, 127, 128, 2042, 2043, 2045, 2046, 2047, 2048, 2049, 4000)


def text(chance: random.Random) -> str:
    """Return a text, often short, sometimes not ASCII or about as long as a limit."""
    kind = chance.randrange(12)
    if kind == 0:
        return "größe 😀 …"[chance.randrange(9) :]
    if kind == 1:
        return "x" * chance.choice(LENGTHS) + chance.choice(("", "…", "é"))
    if kind == 2:
        return "é" * chance.choice(LENGTHS)
    return f"value-{chance.randrange(10**6)}"


def number(chance: random.Random) -> int:
    """Return an integer of 64 bits."""
    size = chance.randrange(64)
    return chance.choice((0, 1, -1, 2**63 - 1, -(2**63), chance.getrandbits(size + 1) >> 1, -chance.getrandbits(size)))


def double(chance: random.Random) -> float:
    """Return a double of any kind."""
    anything: float = struct.unpack("<d", chance.randbytes(8))[0]
    return chance.choice(
        (0.0, -0.0, 0.25, 1e21, 1e20, 1e-7, 1e-6, float("inf"), float("-inf"), float("nan"), 5e-324, anything,
         chance.random(), round(chance.random() * 1000, 2), float(chance.randrange(10**9)))
    )  # fmt: skip


def value(chance: random.Random, depth: int = 0) -> AnyValue:
    """Return a value of any type."""
    makers: Sequence[Callable[[], AnyValue]] = (
        lambda: AnyValue(string_value=text(chance)),
        lambda: AnyValue(string_value=text(chance)),
        lambda: AnyValue(int_value=number(chance)),
        lambda: AnyValue(double_value=double(chance)),
        lambda: AnyValue(bool_value=chance.random() < 0.5),
        lambda: AnyValue(bytes_value=chance.randbytes(chance.choice((0, 1, 2, 3, 20)))),
        AnyValue,
        lambda: AnyValue(array_value=ArrayValue(values=[value(chance, depth + 1) for _ in range(chance.randrange(3))])),
        lambda: AnyValue(kvlist_value=KeyValueList(values=pairs(chance, 2, depth + 1))),
    )
    return chance.choice(makers if depth < 3 else makers[:6])()


def pairs(chance: random.Random, most: int = 9, depth: int = 0) -> list[KeyValue]:
    """Return some attributes; very rarely more than there is room for."""
    count = chance.choice((127, 128, 129)) if not depth and chance.random() < 0.004 else chance.randrange(most + 1)
    keys = (*KEYS, *(f"app.key-{n}" for n in range(12)))
    return [KeyValue(key=chance.choice(keys), value=value(chance, depth)) for _ in range(count)]


def maybe(chance: random.Random, fill: Callable[[], Any]) -> None:
    """Do it half of the time."""
    if chance.random() < 0.5:
        fill()


def surroundings(chance: random.Random, of_list: Any, of_scope: Any) -> None:
    """Fill in resource, scope and URLs, or not."""
    maybe(chance, lambda: of_list.resource.attributes.extend(pairs(chance)))
    maybe(chance, lambda: of_list.resource.attributes.add(key="service.name", value=AnyValue(string_value="cart")))
    maybe(chance, lambda: setattr(of_list, "schema_url", text(chance)))
    maybe(chance, lambda: setattr(of_scope, "schema_url", text(chance)))
    maybe(chance, lambda: setattr(of_scope.scope, "name", text(chance)))
    maybe(chance, lambda: setattr(of_scope.scope, "version", "1.0"))
    maybe(chance, lambda: of_scope.scope.attributes.extend(pairs(chance, 2)))


def traces(chance: random.Random) -> bytes:
    """Return a traces request of some lists, scopes and spans."""
    request = ExportTraceServiceRequest()
    for _ in range(chance.randrange(1, 3)):
        of_list = request.resource_spans.add()
        for _ in range(chance.randrange(1, 3)):
            of_scope = of_list.scope_spans.add()
            surroundings(chance, of_list, of_scope)
            for _ in range(chance.randrange(4)):
                _fill_span(chance, of_scope.spans.add())
    return request.SerializeToString()


def _fill_span(chance: random.Random, span: Any) -> None:
    span.trace_id, span.span_id = chance.randbytes(16), chance.randbytes(8)
    maybe(chance, lambda: setattr(span, "parent_span_id", chance.choice((chance.randbytes(8), bytes(8)))))
    if chance.random() < 0.01:
        setattr(
            span, chance.choice(("trace_id", "span_id", "parent_span_id")), chance.choice((b"", b"short", bytes(8)))
        )
    span.name = text(chance)
    maybe(chance, lambda: setattr(span, "trace_state", text(chance)))
    span.kind = chance.choice((0, 1, 2, 3, 4, 5, 5, 99))
    span.start_time_unix_nano, span.end_time_unix_nano = chance.choice(TIMES_NS), chance.choice(TIMES_NS)
    span.attributes.extend(pairs(chance))
    maybe(chance, lambda: setattr(span, "flags", chance.getrandbits(32)))
    for name in ("dropped_attributes_count", "dropped_events_count", "dropped_links_count"):
        maybe(chance, lambda name=name: setattr(span, name, chance.getrandbits(chance.randrange(1, 33))))
    maybe(chance, lambda: setattr(span.status, "message", text(chance)))
    maybe(chance, lambda: setattr(span.status, "code", chance.randrange(3)))
    for _ in range(chance.choice((0, 0, 1, 2))):
        event = span.events.add(name=text(chance), time_unix_nano=chance.choice(TIMES_NS), attributes=pairs(chance, 3))
        maybe(chance, lambda event=event: setattr(event, "dropped_attributes_count", 3))
    for _ in range(chance.choice((0, 0, 1, 2))):
        ids = chance.choice((b"", b"abc", chance.randbytes(16))), chance.randbytes(chance.choice((8, 0, 3)))
        span.links.add(
            trace_id=ids[0], span_id=ids[1], trace_state=text(chance), attributes=pairs(chance, 3),
            flags=chance.getrandbits(32), dropped_attributes_count=chance.choice((0, 5)),
        )  # fmt: skip


def logs(chance: random.Random) -> bytes:
    """Return a logs request of some lists, scopes and records."""
    request = ExportLogsServiceRequest()
    for _ in range(chance.randrange(1, 3)):
        of_list = request.resource_logs.add()
        for _ in range(chance.randrange(1, 3)):
            of_scope = of_list.scope_logs.add()
            surroundings(chance, of_list, of_scope)
            for _ in range(chance.randrange(4)):
                _fill_record(chance, of_scope.log_records.add())
    return request.SerializeToString()


def _fill_record(chance: random.Random, record: Any) -> None:
    record.time_unix_nano, record.observed_time_unix_nano = chance.choice(TIMES_NS), chance.choice(TIMES_NS)
    record.severity_number = chance.choice((0, 9, 17, 24, 99))
    maybe(chance, lambda: setattr(record, "severity_text", text(chance)))
    maybe(chance, lambda: setattr(record, "event_name", text(chance)))
    record.attributes.extend(pairs(chance))
    kind = chance.random()
    if kind < 0.05:
        record.body.CopyFrom(value(chance))
    elif kind < 0.1:
        record.body.string_value = "y" * chance.choice((65530, 65535, 65536, 65537, 70000)) + chance.choice(("", "é"))
    elif kind < 0.9:
        record.body.CopyFrom(value(chance, 3))
    record.trace_id = chance.choice((b"", bytes(16), chance.randbytes(16), chance.randbytes(16)))
    record.span_id = chance.choice((b"", b"odd", chance.randbytes(8)))
    if chance.random() < 0.01:
        record.trace_id = b"short"
    maybe(chance, lambda: setattr(record, "flags", chance.getrandbits(32)))
    maybe(chance, lambda: setattr(record, "dropped_attributes_count", chance.getrandbits(chance.randrange(1, 33))))


def metrics(chance: random.Random) -> bytes:
    """Return a metrics request of some lists, scopes and metrics of all types."""
    request = ExportMetricsServiceRequest()
    for _ in range(chance.randrange(1, 3)):
        of_list = request.resource_metrics.add()
        for _ in range(chance.randrange(1, 3)):
            of_scope = of_list.scope_metrics.add()
            surroundings(chance, of_list, of_scope)
            for _ in range(chance.randrange(3)):
                _fill_metric(chance, of_scope.metrics.add())
    return request.SerializeToString()


def _fill_metric(chance: random.Random, metric: Any) -> None:
    metric.name = text(chance)
    maybe(chance, lambda: setattr(metric, "unit", chance.choice(("ms", "By", text(chance)))))
    maybe(chance, lambda: setattr(metric, "description", text(chance)))
    name, fill = chance.choice(tuple(_POINTS.items()))
    of_type = getattr(metric, name)
    of_type.SetInParent()
    if name in ("sum", "histogram", "exponential_histogram"):
        of_type.aggregation_temporality = chance.choice((1, 2)) if chance.random() < 0.99 else chance.choice((0, 3, 99))
    if name == "sum":
        of_type.is_monotonic = chance.random() < 0.5
    for _ in range(chance.choice((0, 1, 1, 2, 3))):
        point = of_type.data_points.add(time_unix_nano=chance.choice(TIMES_NS), attributes=pairs(chance, 4))
        maybe(chance, lambda point=point: setattr(point, "start_time_unix_nano", chance.choice(TIMES_NS)))
        maybe(chance, lambda point=point: setattr(point, "flags", chance.choice((1, chance.getrandbits(32)))))
        fill(chance, point)


def _fill_number(chance: random.Random, point: Any) -> None:
    _set_value(chance, point)
    _add_exemplars(chance, point)


def _fill_histogram(chance: random.Random, point: Any) -> None:
    if chance.random() < 0.9:
        infinity = float("inf")
        odd = (-infinity, -1.5, 0.0, 5e-324, infinity)
        bounds = {chance.choice((*odd, *[chance.random() * 100] * 9)) for _ in range(chance.choice((0, 1, 2, 11)))}
        point.explicit_bounds.extend(sorted(bounds))
        point.bucket_counts.extend(chance.getrandbits(chance.randrange(1, 65)) for _ in range(len(bounds) + 1))
    point.count = sum(point.bucket_counts) % 2**64
    if chance.random() < 0.02:
        faults: Sequence[Callable[[], Any]] = (
            lambda: setattr(point, "count", chance.getrandbits(64)),
            lambda: point.explicit_bounds.append(chance.choice((float("nan"), -1.0, 0.0, float("inf")))),
            lambda: point.bucket_counts.append(0),
        )
        chance.choice(faults)()
    _fill_extremes(chance, point)


def _fill_exponential(chance: random.Random, point: Any) -> None:
    point.scale = chance.choice((-10, 0, 20, chance.randrange(-10, 21)))
    for side in (point.positive, point.negative):
        maybe(chance, lambda side=side: setattr(side, "offset", chance.choice((-(2**31), 2**31 - 1, -3, 7))))
        maybe(
            chance,
            lambda side=side: side.bucket_counts.extend(
                chance.getrandbits(chance.randrange(1, 65)) for _ in range(chance.randrange(12))
            ),
        )
    maybe(chance, lambda: setattr(point, "zero_count", chance.getrandbits(chance.randrange(1, 65))))
    maybe(chance, lambda: setattr(point, "zero_threshold", double(chance)))
    point.count = (point.zero_count + sum(point.positive.bucket_counts) + sum(point.negative.bucket_counts)) % 2**64
    if chance.random() < 0.02:
        setattr(point, *chance.choice((("scale", 21), ("scale", -11), ("scale", 2**31 - 1), ("count", 5))))
    _fill_extremes(chance, point)


def _fill_summary(chance: random.Random, point: Any) -> None:
    point.count = chance.getrandbits(chance.randrange(1, 65))
    maybe(chance, lambda: setattr(point, "sum", double(chance)))
    for _ in range(chance.choice((0, 1, 3))):
        point.quantile_values.add(quantile=chance.choice((0.0, 0.5, 0.99, 1.0)), value=double(chance))


def _fill_extremes(chance: random.Random, point: Any) -> None:
    for name in ("sum", "min", "max"):
        maybe(chance, lambda name=name: setattr(point, name, double(chance)))
    _add_exemplars(chance, point)


def _add_exemplars(chance: random.Random, point: Any) -> None:
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        exemplar = point.exemplars.add(
            time_unix_nano=chance.choice(TIMES_NS), filtered_attributes=pairs(chance, 3),
            span_id=chance.randbytes(chance.choice((8, 0))),
            trace_id=chance.choice((b"", b"abc", chance.randbytes(16))),
        )  # fmt: skip
        _set_value(chance, exemplar)


def _set_value(chance: random.Random, holder: Any) -> None:
    kind = chance.randrange(5)
    if kind < 2:
        holder.as_int = number(chance)
    elif kind < 4:
        holder.as_double = double(chance)


_POINTS: dict[str, Callable[[random.Random, Any], None]] = {
    "gauge": _fill_number,
    "sum": _fill_number,
    "histogram": _fill_histogram,
    "exponential_histogram": _fill_exponential,
    "summary": _fill_summary,
}
"""What fills points, by the field of a metric."""

FLATTENERS = {topic: Flattener(topic) for topic in FLAT_TOPICS}

MAKERS: dict[str, Callable[[random.Random], bytes]] = {
    "otel.traces": traces,
    "otel.logs": logs,
    "otel.metrics": metrics,
}
"""What makes requests of a topic."""
