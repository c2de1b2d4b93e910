"""The overview of an incident: all that the person who was woken up needs, in one answer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydantic import BaseModel, Field

from api.parameters import rfc3339
from api.paths import health_path, map_path, trace_path
from api.views.alerts import AlertView
from api.views.deploys import DeployView
from api.views.incidents import IncidentView, Ranking, TimelineEntry
from schemas.incidents import Deploy, Evidence, Hypothesis, Impact, Place
from schemas.shares import confidence_in_words, share_in_words

TOP_HYPOTHESES = 5
DEPLOYS_BEFORE_NS = 2 * 3600 * 1_000_000_000
"""How long before the onset a deploy is still worth a look."""

HEALTH_MARGIN_NS = 15 * 60 * 1_000_000_000
"""How much of a health series is linked before the onset and after the latest event."""


class StoryPart(BaseModel):
    """One part of the story, as the leading hypothesis for that part tells it."""

    service: str
    title: str = Field(description="Of the root cause what is wrong with it; of who suffers from it, with what.")
    confidence: float
    rank: int = Field(description="Which of the hypotheses this is.")
    evidence: list[Evidence]
    trace_ids: list[str] = Field(description="Traces that show it.")


class Story(BaseModel):
    """What happened: where it began, where it first hurt, and who is hit. A symptom is never called a root cause."""

    root_cause: StoryPart | None = Field(None, description="Null while no hypothesis is strong enough.")
    first_critical_failure: StoryPart | None = None
    impact: Impact
    impact_services: list[str] = Field(description="The services of the incident that are not blamed for it.")
    summary: str = Field(description="The three parts in one sentence.")


class NearDeploy(BaseModel):
    """A deploy shortly before or during the incident."""

    deploy: DeployView
    before_onset_s: float = Field(description="Negative: it came after the onset.")
    in_incident: bool = Field(description="The deployed service is in the incident or under suspicion.")


class Overview(BaseModel):
    """An incident with its story, causes, evidence, services, deploys, alerts and where to look next."""

    incident: IncidentView
    story: Story
    ranking: Ranking = Field(description=f"The first {TOP_HYPOTHESES} hypotheses, with score parts and evidence.")
    deploys: list[NearDeploy] = Field(description="Suspects' deploys first, then the nearest to the onset.")
    alerts: list[AlertView]
    timeline: list[TimelineEntry]
    links: dict[str, str] = Field(description="Where to look next, most telling first.")


def overview_of(
    incident: IncidentView,
    ranking: Ranking,
    deploys: Iterable[Deploy],
    alerts: Sequence[AlertView],
    timeline: Sequence[TimelineEntry],
) -> Overview:
    """Put the overview together."""
    involved = {entry.service for entry in incident.services} | {h.service for h in ranking.hypotheses}
    near = [
        NearDeploy(
            deploy=DeployView.of(deploy),
            before_onset_s=(incident.onset_ns - deploy.at_ns) / 1e9,
            in_incident=deploy.service in involved,
        )
        for deploy in deploys
    ]
    story = _story(incident, ranking.hypotheses)
    return Overview(
        incident=incident,
        story=story,
        ranking=ranking.model_copy(update={"hypotheses": ranking.hypotheses[:TOP_HYPOTHESES]}),
        deploys=sorted(near, key=lambda one: (not one.in_incident, abs(one.before_onset_s))),
        alerts=list(alerts),
        timeline=list(timeline),
        links=_links(incident, story),
    )


def _story(incident: IncidentView, hypotheses: Sequence[Hypothesis]) -> Story:
    root, first = _leading(hypotheses, Place.ROOT_CAUSE), _leading(hypotheses, Place.FIRST_CRITICAL_FAILURE)
    if first is not None:  # what it suffers: what it was suspected of would read as a second cause
        first = first.model_copy(update={"title": _suffering(first.service, incident)})
    blamed = {part.service for part in (root, first) if part}
    hit = [entry.service for entry in incident.services if entry.service not in blamed]
    return Story(
        root_cause=root,
        first_critical_failure=first,
        impact=incident.impact,
        impact_services=hit,
        summary=_sentence(incident, root, first),
    )


def _leading(hypotheses: Sequence[Hypothesis], place: Place) -> StoryPart | None:
    found = next((hypothesis for hypothesis in hypotheses if hypothesis.place is place), None)
    if found is None:
        return None
    traces = dict.fromkeys(trace_id for evidence in found.evidence for trace_id in evidence.trace_ids)
    return StoryPart(
        service=found.service,
        title=found.title,
        confidence=found.confidence,
        rank=found.rank,
        evidence=found.evidence,
        trace_ids=list(traces)[:10],
    )


def _suffering(service: str, incident: IncidentView) -> str:
    """Return what a service of the incident suffers: ``checkout, 95th percentile 579 ms (normally 178 ms)``."""
    reason = next((one.reason for one in incident.services if one.service == service), "")
    felt = reason.removeprefix(f"{service}: ").partition("; ")[0]
    return f"{service}, {felt}" if felt else service


def _sentence(incident: IncidentView, root: StoryPart | None, first: StoryPart | None) -> str:
    cause = (
        f"Most likely root cause: {root.title} ({confidence_in_words(root.confidence)} confidence)."
        if root
        else "No root cause stands out yet."
    )
    failure = f" First to suffer on the way to the users: {first.title}." if first else ""
    return f"{cause}{failure} {_hit(incident)}"


def _hit(incident: IncidentView) -> str:
    """Say who is, or was, hit, since when and until when."""
    hit, since = incident.impact, rfc3339(incident.onset_ns)
    when, share, are = f"Since {since}", share_in_words(hit.share), "are"
    if incident.resolved_at is not None:
        when, are = f"From {since} until {incident.resolved_at}", "were"
        share = f"up to {share_in_words(max(hit.share, hit.peak_share))}"
    missing = f", {hit.missing_requests} did not come" if hit.missing_requests else ""
    how = f"of {hit.requests}: {hit.slow_requests} slow, {hit.failed_requests} failed{missing}"
    services = "1 service" if hit.services == 1 else f"{hit.services} services"
    return f"{when}, {share} of requests {are} affected ({how}) over {services}."


def _links(incident: IncidentView, story: Story) -> dict[str, str]:
    start_ns, end_ns = incident.onset_ns - HEALTH_MARGIN_NS, incident.updated_ns + HEALTH_MARGIN_NS
    suspects = [part.service for part in (story.root_cause, story.first_critical_failure) if part]
    services = dict.fromkeys([*suspects, *(entry.service for entry in incident.services)])
    links = {f"health of {service}": health_path(service, start_ns, end_ns) for service in services}
    traces = story.root_cause.trace_ids[:3] if story.root_cause else []
    links |= {f"trace {number}": trace_path(trace_id) for number, trace_id in enumerate(traces, start=1)}
    links["map at the onset"] = map_path(incident.onset_ns)
    return links | incident.links
