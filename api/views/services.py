"""Services, their health as series, and the map of edges between them, as readers see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, get_args

from pydantic import BaseModel, Field

from api.parameters import rfc3339
from api.views.deploys import DeployView
from schemas.deviations import Badge, HourBadge
from schemas.health import (
    EdgeHealth,
    Exemplars,
    InstanceHealth,
    NodeKind,
    OperationHealth,
    RedStats,
    ServiceHealth,
    SignatureCount,
    VersionHealth,
)
from schemas.incidents import IncidentState, Severity
from schemas.queries import HealthPoint, MapEdge, ServiceSummary, SignatureSummary
from sinks.postgres.incidents import Incident

BADGES: Final[dict[str, Badge]] = {badge: badge for badge in get_args(Badge)}
HOUR_BADGES: Final[dict[str, HourBadge]] = {badge: badge for badge in get_args(HourBadge)}


class ServiceList(BaseModel):
    """Every service and virtual node of the last hour, by name."""

    as_of_ns: int
    items: list[ServiceSummary]
    truncated: bool = Field(description="Whether there are more than one answer holds.")


class IncidentBrief(BaseModel):
    """An unresolved incident of a service."""

    incident_id: str
    name: str
    state: IncidentState
    severity: Severity
    title: str
    onset_ns: int

    @classmethod
    def of(cls, incident: Incident) -> IncidentBrief:
        """Return the brief of a stored incident."""
        now = incident.current
        return cls(
            incident_id=now.incident_id,
            name=incident.name,
            state=now.state,
            severity=now.severity,
            title=now.title,
            onset_ns=now.onset_ns,
        )


class ServiceDetail(BaseModel):
    """One service or virtual node as it is now."""

    service: str
    node_kind: NodeKind
    pane_start_ns: int
    window_s: int
    window: RedStats
    operations: list[OperationHealth] = Field([], description="Empty when the current picture is not at hand.")
    edges_in: list[EdgeHealth] = Field([], description="Who calls it, and how that goes from both sides.")
    log_severities: dict[str, int] = Field({}, description="Log records of the window by severity.")
    signatures: list[SignatureCount] = Field([], description="Error signatures of the window, the newest kinds first.")
    instances: list[InstanceHealth] = Field([], description="Its instances in the last pane, when they are known.")
    versions: list[VersionHealth] = Field([], description="Its versions in the last pane, when they are known.")
    baseline: Badge | None = Field(None, description="Whether it is known what is usual; null where nobody can say.")
    hour_of_week: HourBadge | None = Field(None, description="The same of the hours of the week.")
    exemplars: Exemplars
    incidents: list[IncidentBrief] = Field(description="Unresolved incidents that it is part of.")
    deploys: list[DeployView] = Field(description="Its latest deploys.")
    links: dict[str, str]


class HealthSeries(BaseModel):
    """The panes of a service or one of its operations, oldest first."""

    service: str
    operation: str | None = None
    start_ns: int
    end_ns: int
    items: list[HealthPoint]
    truncated: bool = Field(False, description="Whether there are more: ask for less time.")


class SignatureList(BaseModel):
    """The error signatures of a service in some time, most lines first."""

    service: str
    start_ns: int
    end_ns: int
    items: list[SignatureSummary]
    truncated: bool = Field(description="Whether there are more: ask for less time.")


class MapNode(BaseModel):
    """A node of the service map."""

    service: str
    node_kind: NodeKind


MAX_EDGES: Final = 10_000


class ServiceMap(BaseModel):
    """The service map at an instant: nodes by name, and every edge with both its sides and their gap."""

    at_ns: int
    at: str
    nodes: list[MapNode]
    edges: list[MapEdge]
    truncated: bool = Field(description="Whether there are more edges than one answer holds (10,000).")

    @classmethod
    def of(cls, at_ns: int, found: Sequence[MapEdge], services: Iterable[MapNode] = ()) -> ServiceMap:
        """Return the map of what was found, up to `MAX_EDGES`; ``services`` are nodes that may have no edge."""
        edges = list(found[:MAX_EDGES])
        nodes = {node.service: node for node in services}
        for edge in edges:
            nodes.setdefault(edge.client, MapNode(service=edge.client, node_kind=edge.client_kind))
            nodes.setdefault(edge.server, MapNode(service=edge.server, node_kind=edge.server_kind))
        return cls(
            at_ns=at_ns,
            at=rfc3339(at_ns),
            nodes=[nodes[name] for name in sorted(nodes)],
            edges=edges,
            truncated=len(found) > MAX_EDGES,
        )


def summary_of(health: ServiceHealth, badge: str = "", by_hour: str = "") -> ServiceSummary:
    """Return what a list tells of a current picture; a badge that is none of ours is not told."""
    return ServiceSummary(
        service=health.service,
        node_kind=health.node_kind,
        pane_start_ns=health.pane_start_ns,
        window_s=health.window_s,
        window=health.window,
        failing_traces=health.exemplars.failing,
        slow_traces=health.exemplars.slow,
        baseline=BADGES.get(badge),
        hour_of_week=HOUR_BADGES.get(by_hour),
    )


def current_map(picture: Iterable[ServiceHealth], at_ns: int) -> ServiceMap:
    """Return the map that the current pictures of all services make."""
    found = list(picture)
    edges = [
        MapEdge(
            client=edge.client,
            client_kind=edge.client_kind,
            server=health.service,
            server_kind=health.node_kind,
            connection_type=edge.connection_type,
            pane_start_ns=health.pane_start_ns,
            window=edge.window,
        )
        for health in found
        for edge in health.edges_in
    ]
    nodes = [MapNode(service=health.service, node_kind=health.node_kind) for health in found]
    return ServiceMap.of(at_ns, edges, nodes)
