"""What the stores answer: rows of the windows and of raw telemetry, as the API passes them on.

Latencies are milliseconds (``None`` where nothing was measured), instants Unix nanoseconds.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from typing_extensions import TypeAliasType

from schemas.deviations import Badge, HourBadge, SeriesKind
from schemas.health import ConnectionType, EdgeStats, NodeKind, RedStats


class Answer(BaseModel):
    """A frozen answer."""

    model_config = ConfigDict(frozen=True)


class ServiceSummary(Answer):
    """A service or virtual node as it was in its newest window."""

    service: str
    node_kind: NodeKind
    pane_start_ns: int = Field(description="Start of the newest pane; the window ends one pane later.")
    window_s: int
    window: RedStats
    failing_traces: list[str] = []
    slow_traces: list[str] = []
    baseline: Badge | None = Field(
        None, description="How far its baseline is now: whether a quiet board could be loud. Not told of the past."
    )
    hour_of_week: HourBadge | None = Field(
        None, description="Whether it is known what is usual at this hour of the week: two weeks of history."
    )


class HealthPoint(Answer):
    """One pane of a health series, with the sliding window that ends with it."""

    pane_start_ns: int
    revision: int = Field(description="How often the pane was told again because its content changed.")
    final: bool
    cause: str = Field("live", description="`late`: measured again, because data came after the pane had closed.")
    pane: RedStats
    window: RedStats
    log_severities: dict[str, int] = {}
    slow_traces: list[str] = []
    failing_traces: list[str] = []
    normal_traces: list[str] = []
    late_items: int = 0


class PaneRevision(Answer):
    """One telling of a pane: when, why, and what it said."""

    pane_start_ns: int
    revision: int
    cause: str = Field(description="`live`: by the windows; `late`: measured again, because data came late.")
    final: bool
    told_ns: int = Field(description="When it was stored, to the second.")
    requests: int
    errors: int
    p95_ms: float | None = None
    self_p95_ms: float | None = None
    window_requests: int
    window_p95_ms: float | None = None


class SignatureSummary(Answer):
    """An error signature of a service over some time: a log template, or an exception's type and frames."""

    signature: str
    kind: str = Field(description="log or exception.")
    template: str = Field(description="As it was last; <*> stands for what differs from line to line.")
    severity: str
    lines: int
    first_seen_ns: int = Field(description="Start of the first pane it was ever seen in, as far as is remembered.")
    last_seen_ns: int = Field(description="Start of its last pane in this time.")
    panes: list[tuple[int, int]] = Field(description="Start of a pane, and its lines; panes without any are left out.")
    sample: str
    sample_trace_id: str


class MapEdge(Answer):
    """An edge of the service map: both sides over one window, and the gap between them."""

    client: str
    client_kind: NodeKind
    server: str
    server_kind: NodeKind
    connection_type: ConnectionType
    pane_start_ns: int
    window: EdgeStats


AttributeValue = TypeAliasType(
    "AttributeValue", "str | bool | int | float | list[AttributeValue] | dict[str, AttributeValue] | None"
)
"""What an OTLP AnyValue is in JSON: bytes are base64; numbers that JSON lacks are ``"NaN"`` and ``"[-]Infinity"``."""

Attributes = dict[str, AttributeValue]


class SpanEvent(Answer):
    """Something that happened during a span, such as an exception."""

    time_ns: int
    name: str
    attributes: Attributes = {}


class SpanLink(Answer):
    """A span that a span points at, in this or another trace."""

    trace_id: str
    span_id: str
    attributes: Attributes = {}


class TraceSpan(Answer):
    """A span as it was sent. Ids are lower case hex."""

    trace_id: str
    span_id: str
    parent_span_id: str | None = Field(description="None for a root.")
    service: str
    name: str
    kind: str
    status: str = Field(description="unset, ok or error.")
    status_message: str = ""
    start_ns: int
    end_ns: int
    duration_ns: int = Field(description="0 when the span ends before it starts.")
    attributes: Attributes = {}
    resource_attributes: Attributes = {}
    scope_name: str = ""
    scope_version: str = ""
    events: list[SpanEvent] = []
    links: list[SpanLink] = []


class Trace(Answer):
    """The spans of one trace, by start."""

    trace_id: str
    spans: list[TraceSpan]
    truncated: bool = Field(description="There are more spans than were asked for, or than one answer holds.")


class LogLine(Answer):
    """A log record as it was sent."""

    time_ns: int
    service: str
    severity: str = Field(description="trace, debug, info, warn, error, fatal or unspecified.")
    severity_text: str = ""
    body: AttributeValue
    event_name: str = ""
    trace_id: str | None
    span_id: str | None
    attributes: Attributes = {}
    resource_attributes: Attributes = {}


class FoundLogs(Answer):
    """Log records, oldest first."""

    lines: list[LogLine]
    truncated: bool = Field(description="There are more than were asked for, or than one answer holds.")


class StoredCount(Answer):
    """What is stored of one partition of a raw topic."""

    topic: str
    partition: int
    records: int
    items: int = Field(description="Items in those records, rejected ones too.")
    first_offset: int
    last_offset: int
    doubled: int = Field(description="Records that are stored more than once; anything but 0 is a fault of ours.")


Indicator = Literal["availability", "latency"]
"""What an objective is about: requests that succeed, or requests that are fast enough."""


class BudgetStep(Answer):
    """The requests of a service in one step of time."""

    start_ns: int
    measured_s: int = Field(description="Seconds of it that were measured.")
    requests: int
    errors: int = Field(description="Requests that failed; by latency, those that took too long.")


class HourlySeries(Answer):
    """How far a series of a service went in the hours of some weeks; hours are counted since 1970, in UTC.

    Levels: the largest median of five minutes (p50, p95). Rates: the smallest, in requests a minute, twice. Failures:
    errors and requests of the five minutes with the largest share of them.
    """

    kind: SeriesKind
    client: str | None = None
    operation: str | None = None
    hours: list[tuple[int, float, float]]


class MetricSeries(Answer):
    """The points of one metric from one reporter, by time."""

    metric: str
    unit: str
    is_cumulative: bool
    instance: str
    attributes: dict[str, str]
    unix_nano: list[int]
    values: list[float]


class UserCount(Answer):
    """How many users spans name, and how many of them are hit by an incident."""

    users: int
    hit: int


class AttributeCount(Answer):
    """How many failing or slow spans of a service, and how many others, have a value of an attribute."""

    source: Literal["resource", "span"]
    key: str
    value: str
    bad: int
    bad_total: int
    normal: int
    normal_total: int
