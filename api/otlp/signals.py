"""The three signals: path, topic, request and response messages.

Requests are parsed with *lenient* classes: those of opentelemetry-proto with every ``string`` turned into
``bytes``, which is the same on the wire. The originals refuse a whole request for one byte that is not UTF-8;
repairing that one string is the decoder's work behind the topic.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.descriptor import FileDescriptor
from google.protobuf.message import Message
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.metrics.v1 import metrics_service_pb2 as metrics
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces

from schemas.topics import LOGS, METRICS, TRACES, TopicSpec


def _lenient_pool() -> descriptor_pool.DescriptorPool:
    pool, known = descriptor_pool.DescriptorPool(), set[str]()
    for service in (traces, metrics, logs):
        _add_lenient(pool, known, service.DESCRIPTOR)
    return pool


def _add_lenient(pool: descriptor_pool.DescriptorPool, known: set[str], file: FileDescriptor) -> None:
    if file.name in known:
        return
    known.add(file.name)
    for dependency in file.dependencies:
        _add_lenient(pool, known, dependency)
    copied = descriptor_pb2.FileDescriptorProto()
    file.CopyToProto(copied)
    waiting = list(copied.message_type)
    while waiting:
        message = waiting.pop()
        waiting.extend(message.nested_type)
        for field in message.field:
            if field.type == field.TYPE_STRING:
                field.type = field.TYPE_BYTES
    pool.Add(copied)


_POOL: Final = _lenient_pool()


@dataclass(frozen=True, slots=True)
class Signal:
    """One signal of OTLP. The ``*_field`` names lead from a request down to its items."""

    name: Literal["traces", "metrics", "logs"]
    topic: TopicSpec
    strict: type[Message]
    response: type[Any]
    resources_field: str
    scopes_field: str
    items_field: str
    rejected_field: str

    @property
    def lenient(self) -> type[Message]:
        """The request class that takes any bytes where a string is expected."""
        return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(self.strict.DESCRIPTOR.full_name))


TRACES_SIGNAL: Final = Signal(
    "traces",
    TRACES,
    traces.ExportTraceServiceRequest,
    traces.ExportTraceServiceResponse,
    "resource_spans",
    "scope_spans",
    "spans",
    "rejected_spans",
)
METRICS_SIGNAL: Final = Signal(
    "metrics",
    METRICS,
    metrics.ExportMetricsServiceRequest,
    metrics.ExportMetricsServiceResponse,
    "resource_metrics",
    "scope_metrics",
    "metrics",
    "rejected_data_points",
)
LOGS_SIGNAL: Final = Signal(
    "logs",
    LOGS,
    logs.ExportLogsServiceRequest,
    logs.ExportLogsServiceResponse,
    "resource_logs",
    "scope_logs",
    "log_records",
    "rejected_log_records",
)

OTLP_SIGNALS: Final = (TRACES_SIGNAL, METRICS_SIGNAL, LOGS_SIGNAL)
