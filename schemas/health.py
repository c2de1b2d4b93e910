"""What windows say of services, operations and edges (units: `schemas.events`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.events import Event


class NodeKind(StrEnum):
    """What a node of the service graph is; all but ``service`` are virtual (they send no telemetry of their own)."""

    SERVICE = "service"
    DATABASE = "database"
    MESSAGING = "messaging"
    EXTERNAL = "external"
    CLIENT = "client"


class Tier(StrEnum):
    """How much a service matters, as it says itself: resource attribute ``service.criticality`` of OpenTelemetry.

    Values and meanings are those of the semantic conventions (in development).
    """

    LOW = "low"
    """Not essential: background tasks, internal tools."""
    MEDIUM = "medium"
    """Supplementary: users hardly notice."""
    HIGH = "high"
    """Important, but others can do without it for a while."""
    CRITICAL = "critical"
    """When it is down, the business is."""


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
    people: str = Field("", description="Base64: hashes of whom they were for, a sample (see PeopleSample).")


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


class VersionHealth(Event):
    """The requests of one version of a service in one pane."""

    version: str = Field(description="service.version of the resource.")
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
    versions: list[VersionHealth] = Field([], description="Of the pane, those with most requests first.")
    late_items: int = Field(0, description="Items that came after their pane had closed, counted so far.")
    slow_requests: int = Field(0, description="Of the pane: that took longer than the latency objective allows.")
    tier: Tier | None = Field(None, description="What the service says of itself: `service.criticality`.")
