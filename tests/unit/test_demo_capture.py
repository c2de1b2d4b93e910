"""What a demo records is telemetry only: no ticks, no other tenant, no folder of this machine."""

from __future__ import annotations

import sys

from aiokafka import ConsumerRecord
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from topologies.demo.capture import count_items, own_roots, to_message, without_paths

from schemas.keys import TENANT_HEADER, TICK_HEADER


def logs_of(*bodies: str) -> bytes:
    """Return an export request with these log records."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for body in bodies:
        scope.log_records.add().body.string_value = body
    return request.SerializeToString()


def record(value: bytes, *headers: tuple[str, bytes]) -> ConsumerRecord:
    """Return a record of otel.logs."""
    return ConsumerRecord("otel.logs", 0, 7, 1_700_000_000_123, 0, None, value, None, 0, len(value), tuple(headers))


def test_a_record_keeps_its_arrival_and_loses_the_folders_of_this_machine() -> None:
    """Messages stay whole: the replacement has the same length."""
    value = logs_of(f'File "{sys.prefix}/lib/x.py"', "all is well")
    message = to_message(record(value, (TENANT_HEADER, b"demo")), "demo")
    assert message is not None
    assert (message.arrival_ns, message.signal, count_items(message)) == (1_700_000_000_123_000_000, "logs", 2)
    assert sys.prefix.encode() not in message.value
    [logs] = ExportLogsServiceRequest.FromString(message.value).resource_logs
    first, second = (one.body.string_value for one in logs.scope_logs[0].log_records)
    assert first.startswith('File "/xxx')
    assert first.endswith('/lib/x.py"')
    assert second == "all is well"


def test_ticks_and_other_tenants_are_not_recorded() -> None:
    """Neither is what the demo's shop sent."""
    assert to_message(record(b"", (TICK_HEADER, b"1")), "demo") is None
    assert to_message(record(logs_of("secret"), (TENANT_HEADER, b"acme")), "demo") is None


def test_the_longest_folder_is_replaced_first() -> None:
    """A folder inside another leaves nothing of either."""
    assert without_paths(b"/home/me/project/a", ["/home/me/project", "/home/me"]) == b"/" + b"x" * 15 + b"/a"
    assert own_roots() == sorted(own_roots(), key=len, reverse=True)
