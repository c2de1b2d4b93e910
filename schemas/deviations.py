"""How far services are from their normal (units: `schemas.events`)."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import Field

from schemas.events import Event
from schemas.health import ConnectionType, Exemplars, InstanceHealth, NodeKind, Passage, Tier

Badge = Literal["learning", "reliable", "quiet"]
"""How far the baseline of a service is; ``quiet``: it has no traffic to be judged by."""


HourBadge = Literal["learning", "reliable"]
"""Whether it is known what is usual at an hour of the week."""


class SeriesKind(StrEnum):
    """What a series measures."""

    P95 = "p95"
    """Time of requests, also of one operation with all that it waits for."""
    SELF_TIME = "self_time"
    GAP = "gap"
    EDGE_LATENCY = "edge_latency"
    ERROR_RATE = "error_rate"
    EDGE_ERROR_RATE = "edge_error_rate"
    REQUEST_RATE = "request_rate"
    """Also of one operation: told when it is hardly called any more."""
    LOG_ERRORS = "log_errors"
    BURN_RATE = "burn_rate"
    SIGNATURE = "signature"
    """Lines of one error signature in a pane. Evidence: opens no incident."""
    INSTANCE_SLOW = "instance_slow"
    """Slow requests of one instance of a service, while its siblings' are not."""
    INSTANCE_ERRORS = "instance_errors"
    """Failed requests of one instance of a service, while its siblings' do not fail."""
    METRIC = "metric"
    """A metric of one instance. Evidence: opens no incident."""


INSTANCE_KINDS = (SeriesKind.INSTANCE_SLOW, SeriesKind.INSTANCE_ERRORS)
"""Of one instance against its siblings."""


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
    instance: str | None = Field(None, description="The instance it is of: of a metric who reports it.")
    limit_ms: float | None = Field(None, description="Of slow requests of an instance: from where on they are slow.")
    value: float
    median: float
    scale: float
    score: float
    unit: Literal["ms", "ratio", "per_s", "x", "lines", "metric"]
    requests: int = Field(description="On how much traffic the value rests.")
    evidence: float = Field(0.0, ge=0, description="Evidence gathered over panes; 1 and more is an alarm.")
    deviating: bool = False
    since_ns: int | None = Field(None, description="Start of the first pane of this episode.")
    newcomer: bool = Field(False, description="Of an operation that was never called before this episode.")
    accepted: bool = Field(
        False, description="It has deviated for so long that from the next pane on what it is now is its normal."
    )
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
    pane_s: int = Field(10, description="Length of the panes in which lines are counted.")
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


class VersionShare(Event):
    """What one version of a service did in one pane."""

    version: str
    requests: int
    errors: int
    slow: int = Field(0, description="Took a quarter longer than 95 % of the service's usually do, and 10 ms at least.")
    first_seen_ns: int = Field(description="Start of the pane in which it appeared, or came back.")
    change: Literal["deploy", "rollback"] | None = Field(
        None, description="This pane decides that the service was changed: an unknown version, or one that came back."
    )


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
    usual_silence_s: float | None = Field(
        None, description="Of a service with rare requests: a silence of up to this long says nothing."
    )
    series: list[SeriesScore] = []
    edges_in: list[EdgeSummary] = []
    exemplars: Exemplars = Exemplars()
    log_errors: int = 0
    tier: Tier | None = None
    passages: list[Passage] = []
    signatures: list[SignatureChange] = Field([], description="Evidence: what is new, rising or gone in its errors.")
    instances: list[InstanceHealth] = Field([], description="Evidence: of a service that has several.")
    versions: list[VersionShare] = Field([], description="Evidence: of a service that lately had several.")
