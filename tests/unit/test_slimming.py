"""What a recording keeps of the telemetry: all that matters, no folder and no port of this machine."""

from __future__ import annotations

import sys

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from topologies.demo.slimming import Slimmer, own_roots, without_paths

START_NS = 1_795_442_276_527_856_690
TRACE, CALLER, CALLEE = b"\x91" * 16, b"\x17" * 8, b"\x55" * 8


def logs_of(*bodies: str) -> bytes:
    """Return an export request with these log records, of one span."""
    request = ExportLogsServiceRequest()
    scope = request.resource_logs.add().scope_logs.add()
    for body in bodies:
        scope.log_records.add(trace_id=TRACE, span_id=CALLEE, time_unix_nano=START_NS).body.string_value = body
    return request.SerializeToString()


def a_call() -> bytes:
    """Return an export request with a span of 20 ms inside one of 30."""
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for span_id, parent, took_ms in ((CALLER, b"", 30), (CALLEE, CALLER, 20)):
        span = scope.spans.add(trace_id=TRACE, span_id=span_id, parent_span_id=parent)
        span.start_time_unix_nano, span.end_time_unix_nano = START_NS, START_NS + took_ms * 10**6
        for key in ("http.route", "client.port", "network.peer.address"):
            span.attributes.add(key=key).value.string_value = "x"
    return request.SerializeToString()


def test_ids_get_numbers_that_still_tell_who_belongs_to_whom() -> None:
    """Parent, trace and the span of a log record are the same over all messages of a recording."""
    slimmer = Slimmer()
    value, count = slimmer.slim("traces", a_call())
    caller, callee = ExportTraceServiceRequest.FromString(value).resource_spans[0].scope_spans[0].spans
    [record] = (
        ExportLogsServiceRequest.FromString(slimmer.slim("logs", logs_of("x"))[0])
        .resource_logs[0]
        .scope_logs[0]
        .log_records
    )
    assert count == 2
    assert caller.trace_id == callee.trace_id == record.trace_id
    assert caller.parent_span_id == b""
    assert (callee.parent_span_id, record.span_id) == (caller.span_id, callee.span_id)
    assert len({caller.span_id, callee.span_id}) == 2
    assert (len(caller.trace_id), len(caller.span_id)) == (16, 8)
    assert TRACE not in value
    assert any(caller.trace_id), "an id of zeros only is no id"


def test_times_move_by_microseconds_and_only_ports_and_addresses_go() -> None:
    """Durations stay what they were to 20 microseconds, the order of spans too."""
    value, _ = Slimmer().slim("traces", a_call())
    caller, callee = ExportTraceServiceRequest.FromString(value).resource_spans[0].scope_spans[0].spans
    for span, took_ms in ((caller, 30), (callee, 20)):
        assert abs(span.end_time_unix_nano - span.start_time_unix_nano - took_ms * 10**6) < 20_000
        assert 0 <= START_NS - span.start_time_unix_nano < 20_000
        assert [attribute.key for attribute in span.attributes] == ["http.route"]


def test_metrics_keep_their_points_without_exemplars() -> None:
    """Trace ids in exemplars would be half of the compressed metrics."""
    request = ExportMetricsServiceRequest()
    scope = request.resource_metrics.add().scope_metrics.add()
    point = scope.metrics.add(name="latency").histogram.data_points.add(count=7, sum=3.5)
    point.exemplars.add(trace_id=TRACE)
    scope.metrics.add(name="quantiles").summary.data_points.add(count=2)
    value, count = Slimmer().slim("metrics", request.SerializeToString())
    latency, quantiles = ExportMetricsServiceRequest.FromString(value).resource_metrics[0].scope_metrics[0].metrics
    assert count == 2
    assert (latency.histogram.data_points[0].count, list(latency.histogram.data_points[0].exemplars)) == (7, [])
    assert quantiles.summary.data_points[0].count == 2


def test_a_record_loses_the_folders_of_this_machine() -> None:
    """The message stays whole: the replacement has the same length."""
    value, count = Slimmer().slim("logs", logs_of(f'File "{sys.prefix}/lib/x.py"', "all is well"))
    assert count == 2
    assert sys.prefix.encode() not in value
    [logs] = ExportLogsServiceRequest.FromString(value).resource_logs
    first, second = (one.body.string_value for one in logs.scope_logs[0].log_records)
    assert first.startswith('File "/xxx')
    assert first.endswith('/lib/x.py"')
    assert second == "all is well"


def test_the_longest_folder_is_replaced_first() -> None:
    """A folder inside another leaves nothing of either."""
    assert without_paths(b"/home/me/project/a", ["/home/me/project", "/home/me"]) == b"/" + b"x" * 15 + b"/a"
    assert own_roots() == sorted(own_roots(), key=len, reverse=True)
