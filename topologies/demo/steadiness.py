"""Was the machine itself quiet while a scenario was recorded? A recording of somebody else's load teaches nothing."""

from __future__ import annotations

import statistics
from collections import defaultdict
from dataclasses import dataclass, field

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

MINUTE_NS = 60 * 10**9
LEVELS = (0.5, 0.95)
MOST_RATIOS = (1.5, 1.6)
"""The slowest calm minute may have so many times the median, and the 95th percentile, of the usual one."""

Minute = tuple[float, float]
"""Median and 95th percentile of the durations in a minute, in milliseconds."""


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

    def measured(self, begin_ns: int, end_ns: int) -> list[Minute]:
        """Return the figures of each whole minute between two instants."""
        whole = range(-(-begin_ns // MINUTE_NS), end_ns // MINUTE_NS)
        found = (sorted(self.minutes[minute]) for minute in whole if self.minutes.get(minute))
        return [(_at(LEVELS[0], durations), _at(LEVELS[1], durations)) for durations in found]

    @staticmethod
    def is_calm(minutes: list[Minute]) -> bool:
        """Tell whether no minute was much slower than the usual one."""
        levels = zip(zip(*minutes, strict=True), MOST_RATIOS, strict=False)
        return bool(minutes) and all(max(each) <= ratio * statistics.median(each) for each, ratio in levels)


def _at(level: float, durations: list[float]) -> float:
    return durations[int(level * (len(durations) - 1))]
