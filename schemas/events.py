"""The events that leave a stage: what topics, stores and the API carry.

Latencies are float milliseconds (``*_ms``), rates are per second, ratios are in [0, 1], instants are integer
Unix nanoseconds (``*_ns``) in event time. A quantile of nothing is ``None``, never NaN.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Event(BaseModel):
    """A frozen record with a closed set of fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


# -- health ------------------------------------------------------------------------------------------------


class NodeKind(StrEnum):
    """What a node of the service graph is; all but ``service`` are virtual (they send no telemetry of their own)."""

    SERVICE = "service"
    DATABASE = "database"
    MESSAGING = "messaging"
    EXTERNAL = "external"
    CLIENT = "client"


class ConnectionType(StrEnum):
    """How a client reaches a server."""

    REQUEST = "request"
    MESSAGING = "messaging"
    DATABASE = "database"
    VIRTUAL = "virtual"


class RedStats(Event):
    """Rate, errors, duration of one thing over one pane or one sliding window."""

    requests: int
    errors: int
    rate_per_s: float
    error_rate: float
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    self_p50_ms: float | None = Field(
        None, description="Self time: duration not covered by child spans of the service."
    )
    self_p95_ms: float | None = None


class EdgeStats(Event):
    """One edge over one pane or window: both sides, and the gap between them (network and queueing)."""

    requests: int
    errors: int
    paired: int = Field(description="Requests of which both client and server span were seen.")
    virtual: int = Field(description="Requests to or from a node that sends no spans.")
    expired: int = Field(description="Half edges whose other half did not come in time.")
    client_p50_ms: float | None = None
    client_p95_ms: float | None = None
    server_p50_ms: float | None = None
    server_p95_ms: float | None = None
    gap_p50_ms: float | None = Field(None, description="Client duration minus server duration.")
    gap_p95_ms: float | None = None


class OperationHealth(Event):
    """One operation (span name) of a service."""

    operation: str
    kind: Literal["server", "consumer", "internal", "client", "producer", "unspecified"]
    pane: RedStats
    window: RedStats


class EdgeHealth(Event):
    """One incoming edge of a node."""

    client: str
    client_kind: NodeKind
    connection_type: ConnectionType
    pane: EdgeStats
    window: EdgeStats


class Exemplars(Event):
    """Trace ids (32 hex digits) that show a pane: at most a few of each."""

    slow: list[str] = []
    failing: list[str] = []
    normal: list[str] = []


class Passage(Event):
    """Traces that came in at one service and passed through a node, counted in the pane in which they ended.

    A trace fails when any of its spans does, and fails first where the deepest failing one is.
    """

    entry: str = Field(description="The service of the root span.")
    traces: int
    failing: int = 0
    origins: int = Field(0, description="Of the failing ones those that failed first at this node.")
    durations: dict[int, int] = Field({}, description="Of the root spans: traces by half doubling (see PassageTally).")


class SignatureCount(Event):
    """One kind of error line (log template) or exception in one pane and the window that ends with it."""

    signature: str = Field(description="Id, 16 hexadecimal digits: the same for the same lines on every worker.")
    kind: Literal["log", "exception"]
    template: str = Field(description="Log template (<*> differs from line to line), or exception type and frames.")
    severity: str = Field(description="The highest seen: trace..fatal, unspecified.")
    pane: int
    window: int
    first_seen_ns: int = Field(description="Start of the first pane it was ever seen in, as far as is remembered.")
    sample: str = Field("", description="The first line of the window: one line, cut, control characters escaped.")
    sample_trace_id: str = ""


class InstanceHealth(Event):
    """The requests of one instance of a service in one pane."""

    instance: str = Field(description="service.instance.id, else k8s.pod.name, else host.name of the resource.")
    requests: int
    errors: int
    p95_ms: float | None = None
    durations: dict[int, int] = Field({}, description="Requests by latency bin (eight to a doubling).")


class ServiceHealth(Event):
    """The closed picture of one service or virtual node: a 10 s pane, and the 60 s window that ends with it.

    Topic ``health``. A newer ``revision`` of the same (tenant, service, pane_start_ns) replaces the older.
    ``pane``/``window`` count entry spans (server and consumer); for a node without any, its incoming edges.
    """

    tenant: str
    service: str
    node_kind: NodeKind
    pane_start_ns: int
    pane_s: int
    window_s: int
    revision: int
    version: int = Field(0, description="Offset in telemetry.rollups up to which it goes: stores replace by it.")
    driven: bool = Field(False, description="The tenant is on a driven clock (a replay).")
    final: bool = Field(description="The pane is closed: only a re-measurement can revise it.")
    cause: Literal["live", "late"] = Field("live", description="`late`: measured again, because data came late.")
    pane: RedStats
    window: RedStats
    operations: list[OperationHealth] = []
    edges_in: list[EdgeHealth] = []
    log_severities: dict[str, int] = Field({}, description="Pane's log records by severity: trace..fatal, unspecified.")
    log_severities_window: dict[str, int] = {}
    exemplars: Exemplars = Exemplars()
    passages: list[Passage] = Field([], description="Traces of the pane that passed through, by where they came in.")
    signatures: list[SignatureCount] = Field([], description="Of the window: latest first seen first, then by count.")
    instances: list[InstanceHealth] = Field([], description="Of the pane, those with most requests first.")
    late_items: int = Field(0, description="Items that came after their pane had closed, counted so far.")
    slow_requests: int = Field(0, description="Of the pane: that took longer than the latency objective allows.")


# -- deviations --------------------------------------------------------------------------------------------


Badge = Literal["learning", "reliable", "quiet"]
"""How far the baseline of a service is; ``quiet``: it has no traffic to be judged by."""


HourBadge = Literal["learning", "reliable"]
"""Whether it is known what is usual at an hour of the week."""


class SeriesKind(StrEnum):
    """What a series measures."""

    P95 = "p95"
    SELF_TIME = "self_time"
    GAP = "gap"
    EDGE_LATENCY = "edge_latency"
    ERROR_RATE = "error_rate"
    EDGE_ERROR_RATE = "edge_error_rate"
    REQUEST_RATE = "request_rate"
    LOG_ERRORS = "log_errors"
    BURN_RATE = "burn_rate"
    SIGNATURE = "signature"
    """Lines of one error signature in a pane. Evidence: opens no incident."""
    METRIC = "metric"
    """A metric of one instance. Evidence: opens no incident."""


class SeriesScore(Event):
    """One series in one pane against its baseline.

    ``score`` = (value - median) / scale, where scale is the floored MAD (times 1.4826); positive is worse
    for every kind but ``request_rate``, where both directions count.
    """

    kind: SeriesKind
    operation: str | None = None
    edge_client: str | None = Field(None, description="The client of the incoming edge this series belongs to.")
    name: str | None = Field(
        None, description="Of a signature its id, of a metric its name, of a burn rate `latency` where it is of that."
    )
    instance: str | None = Field(None, description="Of a metric, the instance that reports it.")
    value: float
    median: float
    scale: float
    score: float
    unit: Literal["ms", "ratio", "per_s", "x", "lines", "metric"]
    requests: int = Field(description="On how much traffic the value rests.")
    evidence: float = Field(0.0, ge=0, description="Evidence gathered over panes; 1 and more is an alarm.")
    deviating: bool = False
    since_ns: int | None = Field(None, description="Start of the first pane of this episode.")
    hour_of_week: HourBadge = Field(
        "learning", description="Whether it is known what is usual at this hour of the week."
    )
    judged_by: Literal["trailing", "hour_of_week"] = Field(
        "trailing", description="Whose normal the value is held against: the last minutes', or this hour's of the week."
    )


class SignatureChange(Event):
    """A signature whose rate is not what it was.

    ``new``: never seen before ``series.since_ns``; ``rising``: more than before; ``gone``: a usual one that stopped.
    """

    change: Literal["new", "rising", "gone"]
    kind: Literal["log", "exception"]
    template: str
    severity: str
    first_seen_ns: int
    sample: str = ""
    sample_trace_id: str = ""
    series: SeriesScore = Field(description="Kind ``signature``: lines a pane since it changed, against before.")


class EdgeSummary(Event):
    """An incoming edge as the incident stages need it: the live graph."""

    client: str
    client_kind: NodeKind
    connection_type: ConnectionType
    requests: int
    errors: int
    gap_p95_ms: float | None = None
    client_p95_ms: float | None = None


class ServiceDeviations(Event):
    """All scored series of one service in one pane. Topic ``deviations``, keyed by tenant.

    Sent for every published pane, also a calm one, so that recovery is seen and the graph stays live.
    """

    tenant: str
    service: str
    node_kind: NodeKind
    pane_start_ns: int
    revision: int
    driven: bool = Field(False, description="As in ServiceHealth.")
    state: Badge
    hour_of_week: HourBadge = "learning"
    requests: int
    errors: int
    p95_ms: float | None
    series: list[SeriesScore] = []
    edges_in: list[EdgeSummary] = []
    exemplars: Exemplars = Exemplars()
    log_errors: int = 0
    passages: list[Passage] = []
    signatures: list[SignatureChange] = Field([], description="Evidence: what is new, rising or gone in its errors.")
    instances: list[InstanceHealth] = Field([], description="Evidence: of a service that has several.")


# -- incidents ---------------------------------------------------------------------------------------------


class Severity(StrEnum):
    """By impact, not by how far a number is off."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 (low) to 3 (critical)."""
        return list(Severity).index(self)


class IncidentState(StrEnum):
    """Where an incident is in its life."""

    OPEN = "open"
    ACKNOWLEDGED = "acknowledged"
    MITIGATED = "mitigated"
    RESOLVED = "resolved"
    CLOSED = "closed"


class ResolveReason(StrEnum):
    """Why an incident ended."""

    RECOVERED = "recovered"
    BY_HAND = "by_hand"
    NO_TRAFFIC = "no_traffic"


class Impact(Event):
    """Who is hit: entry requests since the onset."""

    requests: int
    failed_requests: int
    slow_requests: int = 0
    share: float = Field(description="Share of the tenant's entry requests that failed or went through a hit service.")
    services: int


class IncidentService(Event):
    """A service that belongs to an incident, and why."""

    service: str
    node_kind: NodeKind = NodeKind.SERVICE
    since_ns: int
    reason: str = Field(description="Why it is part of this incident, in words.")
    peak: SeriesScore


class IncidentEvent(Event):
    """Something happened to an incident. Topic ``incidents.events``.

    ``event_id`` is derived from (incident_id, sequence), so a replay writes the same event again.
    Each event carries the whole incident as it is after it.
    """

    event_id: str
    incident_id: str
    tenant: str
    sequence: int
    kind: Literal["opened", "service_joined", "severity_changed", "updated", "resolved", "reopened"]
    at_ns: int = Field(description="Event time: the end of the pane that decided it.")
    decided_at_ns: int = Field(0, description="Arrival clock when it was decided: at_ns plus settling and pairing.")
    opened_at_ns: int = Field(0, description="at_ns of the event that opened it.")
    onset_ns: int = Field(description="Start of the first deviating pane.")
    state: IncidentState
    severity: Severity
    title: str
    services: list[IncidentService]
    impact: Impact
    resolve_reason: ResolveReason | None = None


# -- hypotheses --------------------------------------------------------------------------------------------


class ScorePart(Event):
    """One visible part of a score: contribution = value x weight."""

    name: str
    value: float
    weight: float
    contribution: float
    why: str


class Evidence(Event):
    """A fact that speaks for a hypothesis, with the query that shows it again."""

    kind: Literal["series", "edge", "log_errors", "signature", "trace", "deploy", "graph"]
    summary: str
    query: str = Field(description="SQL over the stores, or an API path, that returns this evidence.")
    series: SeriesScore | None = None
    trace_ids: list[str] = []


class Place(StrEnum):
    """The part a suspect plays in the story."""

    ROOT_CAUSE = "root_cause"
    FIRST_CRITICAL_FAILURE = "first_critical_failure"
    IMPACT = "impact"


class Hypothesis(Event):
    """A suspect with its score parts and evidence."""

    rank: int
    suspect_kind: Literal["service", "edge", "dependency", "deploy", "load"]
    service: str = Field(description="The service or node that is blamed (for an edge, the one that is hard to reach).")
    edge_client: str | None = None
    instance: str | None = Field(
        None, description="The one instance of the service that fails or is slow, if it is one."
    )
    deploy_id: str | None = None
    title: str
    score: float
    confidence: float = Field(ge=0, le=1)
    place: Place | None = None
    parts: list[ScorePart]
    evidence: list[Evidence]


class RuledOut(Event):
    """A service that was looked at and not blamed."""

    service: str
    reason: str


class HypothesisSet(Event):
    """The ranking of one incident as of one instant. Topic ``incidents.hypotheses``; a later version replaces."""

    tenant: str
    incident_id: str
    version: int
    as_of_ns: int
    weights_version: str
    hypotheses: list[Hypothesis]
    ruled_out: list[RuledOut] = []


# -- deploys, alerts, dead letters -------------------------------------------------------------------------


class Deploy(Event):
    """A change that went live. Topic ``deploys.events``."""

    deploy_id: str
    tenant: str
    service: str
    version: str = ""
    environment: str = ""
    kind: Literal["deploy", "rollback", "config"] = "deploy"
    at_ns: int
    source: Literal["api", "github", "argocd", "telemetry"] = "api"
    url: str = ""
    description: str = ""


class NotifyReason(StrEnum):
    """Why an alert is, or is not, sent."""

    FIRST = "first_notification"
    ESCALATED = "severity_rose"
    CAUSE_CHANGED = "leading_hypothesis_changed"
    REPEAT = "repeat_interval_elapsed"
    RESOLVED = "resolved"
    NOT_YET = "group_wait"
    NOTHING_NEW = "nothing_new"
    BELOW_SEVERITY = "below_minimum_severity"
    NEVER_FIRED = "resolved_before_first_notification"


class AlertCause(Event):
    """A leading hypothesis as an alert tells it."""

    service: str
    title: str
    confidence: float
    place: Place | None = None


class Alert(Event):
    """A notification. Topic ``alerts``; ``alert_id`` is derived from (incident_id, reason, sequence)."""

    alert_id: str
    tenant: str
    incident_id: str
    reason: NotifyReason
    state: IncidentState
    severity: Severity
    title: str
    summary: str
    at_ns: int
    onset_ns: int
    services: list[str]
    causes: list[AlertCause] = []
    route: str = "default"
    path: str = Field(description="API path of the incident.")
