"""Was the machine itself quiet while a scenario was recorded? A recording of somebody else's load teaches nothing."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

MINUTE_NS = 60 * 10**9
MOST_RATIO = 1.6
"""The slowest calm minute may have this many times the 95th percentile of the usual one."""


@dataclass
class Steadiness:
    """Durations of all server spans by the minute in which they began."""

    minutes: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def see(self, traces: bytes) -> None:
        """Take one export request of spans."""
        for each in ExportTraceServiceRequest.FromString(traces).resource_spans:
            for span in (span for scope in each.scope_spans for span in scope.spans):
                if span.kind == Span.SPAN_KIND_SERVER:
                    duration_ms = (span.end_time_unix_nano - span.start_time_unix_nano) / 1e6
                    self.minutes[span.start_time_unix_nano // MINUTE_NS].append(duration_ms)

    def p95_ms(self, begin_ns: int, end_ns: int) -> list[float]:
        """Return the 95th percentile of each whole minute between two instants."""
        whole = range(-(-begin_ns // MINUTE_NS), end_ns // MINUTE_NS)
        measured = [sorted(self.minutes[minute]) for minute in whole if self.minutes.get(minute)]
        return [values[int(0.95 * (len(values) - 1))] for values in measured]

    @staticmethod
    def is_calm(p95_ms: list[float]) -> bool:
        """Tell whether no minute was much slower than the usual one."""
        return bool(p95_ms) and max(p95_ms) <= MOST_RATIO * statistics.median(p95_ms)
