"""Log records made for tests: written down plainly, turned into real OTLP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

INFO, WARN, ERROR = 9, 13, 17


@dataclass(frozen=True)
class MadeLog:
    """A log record; ``severity`` is OTLP's number."""

    service: str
    time_ns: int
    body: str
    severity: int = ERROR
    trace: int = 0
    attributes: dict[str, str] = field(default_factory=dict)
    span: int = 0


def logs_payload(records: Iterable[MadeLog]) -> bytes:
    """Return the records as an ``ExportLogsServiceRequest``, one resource a run of equal services."""
    request = ExportLogsServiceRequest()
    for service, group in groupby(records, key=lambda record: record.service):
        resource = request.resource_logs.add()
        name = resource.resource.attributes.add()
        name.key, name.value.string_value = "service.name", service
        scope = resource.scope_logs.add()
        for made in group:
            record = scope.log_records.add()
            record.time_unix_nano, record.severity_number = made.time_ns, made.severity  # type: ignore[assignment]
            record.body.string_value = made.body
            record.trace_id = made.trace.to_bytes(16, "big") if made.trace else b""
            record.span_id = made.span.to_bytes(8, "big") if made.span else b""
            for key, text in made.attributes.items():
                attribute = record.attributes.add()
                attribute.key, attribute.value.string_value = key, text
    return request.SerializeToString()
