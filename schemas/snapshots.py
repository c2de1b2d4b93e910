"""What a ranking was made from: everything the ranking looks at, small enough to be kept with it.

``rank(snapshot)`` is a pure function, and the weights are kept with the rest of its input: a stored snapshot gives the
stored hypotheses again, to the last digit, whatever the weights are by then (ADR 57).
"""

from __future__ import annotations

from pydantic import Field

from schemas.deviations import SeriesKind, SeriesScore, SignatureChange
from schemas.events import Event
from schemas.health import Exemplars, NodeKind
from schemas.incidents import Deploy


class SeriesFinding(Event):
    """One series since the onset."""

    kind: SeriesKind
    client: str | None = Field(None, description="The client of the incoming edge this series belongs to.")
    operation: str | None = None
    strength: float = Field(description="Comparable across kinds: 0 is normal, 1 clear, 3 the most.")
    evidence: float = Field(description="The largest in any pane; an alarm has 1.")
    mean: float = Field(description="Of its values since the onset; what is normal stands in `peak`.")
    peak: SeriesScore = Field(description="The pane with the highest score.")
    since_ns: int | None = Field(None, description="When it began to deviate, if it ever did.")
    requests: int = Field(0, description="On how much traffic it rests, in all these panes.")
    hits: int = Field(0, description="Of a ratio: how many of them were hit (failed).")


class CallerFinding(Event):
    """One client of a node: requests before the onset (while it was seen) and since."""

    client: str
    requests: int
    errors: int
    requests_before: int = 0


class TraceCounts(Event):
    """Traces over some panes: all, failing, of those the ones that failed first here, and slow ones."""

    traces: int = 0
    failing: int = 0
    origins: int = 0
    slow: int = Field(0, description="Took longer than 95 % of those that came in there before the onset.")


class PassageFinding(Event):
    """The traces that came in at one service and passed through a node."""

    entry: str
    since: TraceCounts
    before: TraceCounts


class PartCounts(Event):
    """Requests of one instance, or of one version, over some panes."""

    requests: int = 0
    errors: int = 0
    slow: int = Field(0, description="Took longer than 95 % of the service's before the onset.")


class InstanceFinding(Event):
    """One of several instances of a service."""

    instance: str
    since: PartCounts
    before: PartCounts


class VersionFinding(Event):
    """One of several versions of a service, since the onset."""

    version: str
    since: PartCounts


class MetricFinding(Event):
    """A metric of one instance that left its own past since the onset."""

    metric: str
    unit: str = ""
    instance: str = Field("", description="What reports it; may be empty.")
    attributes: dict[str, str] = {}
    is_rate: bool = Field(False, description="A counter: values are its increase a second.")
    usual: float = Field(description="Median before the onset.")
    value: float = Field(description="Farthest from it since.")
    strength: float = Field(description="Mean over its points since the onset: 0 is normal, 1 clear, 3 the most.")
    points: int = Field(description="How many there are since the onset ...")
    known: int = Field(description="... and before it.")


class NodeFinding(Event):
    """All that is known about one service or virtual node around the onset."""

    service: str
    node_kind: NodeKind
    requests: int
    errors: int
    requests_before: int = 0
    is_entry: bool = Field(description="Called by clients that send no telemetry: users come in here.")
    callers: list[CallerFinding]
    series: list[SeriesFinding]
    stop: SeriesScore | None = Field(None, description="The request rate, when traffic has stopped.")
    surge: float = Field(0.0, description="Robust score of the request rate, mean of the minute with the highest.")
    surge_times: float = Field(1.0, description="So many times the usual requests came in that minute.")
    surge_peak: SeriesScore | None = Field(None, description="The pane of that minute with most requests.")
    passages: list[PassageFinding] = Field(default_factory=list)
    signatures: list[SignatureChange] = Field(
        default_factory=list, description="Changed since the onset, clearest first."
    )
    instances: list[InstanceFinding] = Field(default_factory=list, description="By name; none where there is one.")
    versions: list[VersionFinding] = Field(default_factory=list, description="By name; none where it was one only.")
    metrics: list[MetricFinding] = Field(default_factory=list, description="Of its instances, farthest moved first.")
    exemplars: Exemplars = Exemplars()


class Weights(Event):
    """What each part of a score is worth, and how sure a score may be."""

    version: str
    of: dict[str, float] = Field(description="By part. A part that is not named here is no part of the score.")
    apart: float = Field(
        description="Times which they count for who neither calls a service of the incident nor is called by one."
    )
    calls_explain: bool = Field(
        False, description="Whether error logs are explained by as many failing calls of a callee, or by shares only."
    )
    certainty: float = Field(description="A suspect's odds are exp(this times its score) ...")
    nobody: float = Field(description="... against the other suspects, and nobody of them, whose score this is.")


class RankingSnapshot(Event):
    """The input of one ranking: an incident as of one instant."""

    tenant: str
    incident_id: str
    version: int
    as_of_ns: int
    onset_ns: int
    start_ns: int = Field(description="Panes from here on were looked at.")
    end_ns: int
    services: list[str] = Field(
        default_factory=list,
        description="Of the incident. Who neither calls them nor is called is blamed less; none: nobody is.",
    )
    nodes: list[NodeFinding]
    deploys: list[Deploy] = Field(description="Of the tenant, near the onset, known by then.")
    weights: Weights | None = Field(None, description="None in those kept before weights were: the ranking names them.")
