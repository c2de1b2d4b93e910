"""A recording moved in time: everything in it, by the same."""

from __future__ import annotations

from pathlib import Path

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from topologies.moving import MovedRecording, later
from topologies.recordings import Labels, RecordedDeploy, RecordedFault, RecordedMessage, RecordingWriter


def test_spans_and_what_happened_in_them_are_later() -> None:
    """Durations stay."""
    request = ExportTraceServiceRequest()
    span = request.resource_spans.add().scope_spans.add().spans.add(start_time_unix_nano=10, end_time_unix_nano=15)
    span.events.add(time_unix_nano=12, name="exception")
    moved = ExportTraceServiceRequest.FromString(later("traces", request.SerializeToString(), 3))
    span = moved.resource_spans[0].scope_spans[0].spans[0]
    assert (span.start_time_unix_nano, span.end_time_unix_nano, span.events[0].time_unix_nano) == (13, 18, 15)
    assert span.events[0].name == "exception"


def test_log_records_are_later_and_times_that_nobody_knew_stay_unknown() -> None:
    """A record may have one of its two times only."""
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add(observed_time_unix_nano=10)
    moved = ExportLogsServiceRequest.FromString(later("logs", request.SerializeToString(), 3))
    record = moved.resource_logs[0].scope_logs[0].log_records[0]
    assert (record.time_unix_nano, record.observed_time_unix_nano) == (0, 13)


def test_points_of_metrics_are_later() -> None:
    """Their start, too."""
    request = ExportMetricsServiceRequest()
    metric = request.resource_metrics.add().scope_metrics.add().metrics.add(name="cpu")
    metric.sum.data_points.add(start_time_unix_nano=5, time_unix_nano=10, as_int=7)
    moved = ExportMetricsServiceRequest.FromString(later("metrics", request.SerializeToString(), 3))
    point = moved.resource_metrics[0].scope_metrics[0].metrics[0].sum.data_points[0]
    assert (point.start_time_unix_nano, point.time_unix_nano, point.as_int) == (8, 13, 7)


def test_labels_deploys_and_arrivals_go_with_the_telemetry(tmp_path: Path) -> None:
    """So the scores are about the same faults."""
    writer = RecordingWriter(tmp_path / "one")
    writer.append(RecordedMessage(10**9, "traces", ExportTraceServiceRequest().SerializeToString()), 0)
    fault = RecordedFault(id="f", start_unix=4.0, duration_s=1.0, service="cart")
    deploy = RecordedDeploy(service="cart", at_unix=2.0)
    writer.finish(Labels(name="one", start_unix=1.0, end_unix=9.0, faults=[fault]), [deploy])
    with MovedRecording(tmp_path / "one", 2.5) as moved:
        assert [message.arrival_ns for message in moved.messages()] == [3_500_000_000]
        assert [one.at_ns for one in moved.deploys("acme")] == [4_500_000_000]
    assert (moved.labels.start_unix, moved.labels.end_unix, moved.labels.faults[0].start_unix) == (3.5, 11.5, 6.5)
