"""Evidence of an incident, copied out of what retention deletes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas.events import Event
from schemas.incidents import Evidence
from schemas.queries import Trace

Moment = Literal["opening", "peak"]
"""When the incident was first ranked, and when its leading suspicion was strongest."""


class TracePick(Event):
    """A trace worth keeping, and what it shows."""

    role: Literal["slow", "failing", "normal"]
    service: str = Field(description="Of which service it is an exemplar.")
    trace_id: str


class PinnedTrace(Event):
    """A trace with all its spans as they were sent."""

    role: Literal["slow", "failing", "normal"]
    service: str
    trace: Trace


class PinnedEdge(Event):
    """An edge of the graph around the onset: requests since then."""

    client: str
    server: str
    requests: int
    errors: int


class AttributeContrast(Event):
    """A resource or span attribute that failing or slow spans have more often than the others of their service."""

    source: Literal["resource", "span"]
    key: str
    value: str
    bad: int = Field(description="Failing or slow spans that have it ...")
    bad_total: int = Field(description="... of so many.")
    normal: int = Field(description="Other spans that have it ...")
    normal_total: int = Field(description="... of so many.")
    separation: float = Field(description="By how much the shares differ at least (95 % bounds): 1 parts them all.")


class ServiceContrast(Event):
    """What sets the failing or slow spans of a service apart, most telling first, and the query that counted."""

    service: str
    attributes: list[AttributeContrast]
    query: str = Field(description="SQL over raw telemetry that counted ...")
    parameters: dict[str, str | int | float] = Field(description="... with these values bound.")


class MetricChange(Event):
    """A metric that is unlike its past since shortly before the onset."""

    metric: str
    unit: str
    instance: str = Field(description="``service.instance.id`` of what reports it; may be empty.")
    attributes: dict[str, str]
    is_rate: bool = Field(description="A counter: values are its increase a second.")
    usual: float = Field(description="Median before.")
    value: float = Field(description="Where it is least like its past.")
    surprise: float = Field(description="So many times as strange as its strangest usual point; 1000 at most.")
    since_ns: int = Field(description="The first point that is an alarm.")


class ServiceMetrics(Event):
    """Metrics of a service that went off their past, most surprising first, and the query that read them."""

    service: str
    metrics: list[MetricChange]
    query: str = Field(description="SQL over raw telemetry that read their points ...")
    parameters: dict[str, str | int | float] = Field(description="... with these values bound.")


class UsersHit(Event):
    """Users that spans name (``user.id``, ``enduser.id``) since the onset, and the query that counted them."""

    users: int
    hit: int = Field(description="With a failing span, or a trace in which a leading suspect failed or was slow.")
    query: str = Field(description="SQL over raw telemetry that counted ...")
    parameters: dict[str, str | int | float | list[str]] = Field(description="... with these values bound.")


class PinPlan(Event):
    """What is to be pinned, before the stores were asked."""

    tenant: str
    incident_id: str
    moment: Moment
    version: int
    as_of_ns: int
    strength: float = Field(description="Score of the leading suspicion: the largest makes the peak.")
    onset_ns: int
    picks: list[TracePick]
    suspects: list[str] = Field(description="Services whose attributes are to be compared, and metrics looked at.")
    graph: list[PinnedEdge]
    evidence: list[Evidence] = Field(description="Of the leading suspicions, each with the query that shows it.")


class PinnedEvidence(Event):
    """Everything pinned at one moment of an incident."""

    moment: Moment
    version: int = Field(description="Of the ranking that it belongs to.")
    as_of_ns: int
    traces: list[PinnedTrace]
    contrasts: list[ServiceContrast]
    metrics: list[ServiceMetrics] = Field(default_factory=list)
    users: UsersHit | None = Field(None, description="None where no span names a user.")
    graph: list[PinnedEdge]
    evidence: list[Evidence]
