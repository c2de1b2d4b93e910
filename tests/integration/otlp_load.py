"""Numbered traces and logs on a driven clock: the same number always gives the same bytes.

Each trace is a purchase: ``frontend`` calls ``cart`` calls a database. Second by second, each partition of
``otel.traces`` gets one record of ``TRACES_A_RECORD`` traces, ``otel.logs`` gets one record, and every partition
a tick, so that all sources tell the same time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from schemas.keys import ARRIVAL_HEADER, TENANT_HEADER, TICK_HEADER
from schemas.topics import LOGS, TRACES
from sinks.kafka.producer import Message

SECOND_NS = 1_000_000_000
MS_NS = 1_000_000
START_NS = 1_750_000_000 * SECOND_NS
TRACES_A_RECORD = 10
SERVER, CLIENT = 2, 3


def span_id(trace: int, place: int) -> bytes:
    """Return the id of one span of a trace."""
    return hashlib.blake2b(b"%d/%d" % (trace, place), digest_size=8).digest()


def trace_id(trace: int) -> bytes:
    """Return the id of a trace."""
    return hashlib.blake2b(b"trace %d" % trace, digest_size=16).digest()


def _scope(request: Any, service: str) -> Any:
    resource = request.resource_spans.add()
    name = resource.resource.attributes.add()
    name.key, name.value.string_value = "service.name", service
    return resource.scope_spans.add()


def _span(scope: Any, trace: int, place: int, kind: int, name: str, from_ns: int, to_ns: int) -> Any:
    span = scope.spans.add()
    span.trace_id, span.span_id = trace_id(trace), span_id(trace, place)
    span.parent_span_id = span_id(trace, place - 1) if place > 1 else b""
    span.kind, span.name, span.start_time_unix_nano, span.end_time_unix_nano = kind, name, from_ns, to_ns
    return span


def add_purchase(request: ExportTraceServiceRequest, trace: int, start_ns: int, slower_ms: int = 0) -> None:
    """Add trace number ``trace``: four spans of 20 ms and more; every 37th fails."""
    end_ns = start_ns + (20 + trace % 50 + slower_ms) * MS_NS
    frontend, cart = _scope(request, "frontend"), _scope(request, "cart")
    spans = [
        _span(frontend, trace, 1, SERVER, "POST /buy", start_ns, end_ns),
        _span(frontend, trace, 2, CLIENT, "POST cart", start_ns + 2 * MS_NS, end_ns - 2 * MS_NS),
        _span(cart, trace, 3, SERVER, "POST /cart", start_ns + 3 * MS_NS, end_ns - 4 * MS_NS),
        _span(cart, trace, 4, CLIENT, "INSERT", start_ns + 5 * MS_NS, end_ns - 8 * MS_NS),
    ]
    for key, value in (("db.system", "postgresql"), ("db.namespace", "shop")):
        attribute = spans[3].attributes.add()
        attribute.key, attribute.value.string_value = key, value
    if trace % 37 == 0:
        spans[0].status.code = spans[2].status.code = 2


def log_request(number: int, time_ns: int) -> ExportLogsServiceRequest:
    """Return one log record of ``cart``: an error every fifth time."""
    request = ExportLogsServiceRequest()
    resource = request.resource_logs.add()
    name = resource.resource.attributes.add()
    name.key, name.value.string_value = "service.name", "cart"
    record = resource.scope_logs.add().log_records.add()
    record.time_unix_nano, record.body.string_value = time_ns, f"purchase {number}"
    record.severity_number = 17 if number % 5 == 0 else 9
    return request


def add_exception(attributes: Any) -> None:
    """Add what says that an exception was thrown, to the attributes of a span event or of a log record."""
    attributes.add(key="exception.type").value.string_value = "shop.Refused"
    attributes.add(key="exception.stacktrace").value.string_value = "  at shop.Cart.total(Cart.java:7)\n"


def second(number: int, tenant: str, partitions: int) -> list[Message]:
    """Return all records of second ``number``, ticks last."""
    arrival_ns = START_NS + number * SECOND_NS
    headers = [(TENANT_HEADER, tenant.encode()), (ARRIVAL_HEADER, b"%d" % arrival_ns)]
    messages = []
    for partition in range(partitions):
        request = ExportTraceServiceRequest()
        first = (number * partitions + partition) * TRACES_A_RECORD
        for trace in range(first, first + TRACES_A_RECORD):
            add_purchase(request, trace, arrival_ns - 500 * MS_NS + trace % 100 * MS_NS)
        messages.append(Message(TRACES.name, request.SerializeToString(), None, headers, partition))
    log = log_request(number, arrival_ns - 200 * MS_NS).SerializeToString()
    messages.append(Message(LOGS.name, log, None, headers, number % partitions))
    return messages + ticks(arrival_ns, tenant, partitions)


def ticks(arrival_ns: int, tenant: str, partitions: int) -> list[Message]:
    """Return a tick of the tenant for every source partition."""
    headers = [(TENANT_HEADER, tenant.encode()), (ARRIVAL_HEADER, b"%d" % arrival_ns), (TICK_HEADER, b"1")]
    return [
        Message(topic.name, b"", None, headers, partition)
        for topic in (TRACES, LOGS)
        for partition in range(partitions)
    ]


def seconds(count: int, tenant: str, partitions: int) -> Iterator[list[Message]]:
    """Yield the records second by second, then the ticks that close all windows."""
    for number in range(count):
        yield second(number, tenant, partitions)
    yield ticks(START_NS + (count + 300) * SECOND_NS, tenant, partitions)
