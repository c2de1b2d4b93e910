"""Examples for the API's description: one small shop in which a slow database made checkout fail."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel

from api.otlp.answers import JSON
from api.parameters import rfc3339
from api.views.alerts import AlertPage, AlertView, AttemptView, DeliveryView
from api.views.deploys import DeployPage, DeployView
from api.views.evidence import PinnedView
from api.views.incidents import IncidentPage, IncidentView, Ranking, Timeline, TimelineEntry
from api.views.overview import overview_of
from api.views.similar import SimilarIncident, SimilarIncidents
from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import NodeKind
from schemas.incidents import (
    Alert,
    AlertCause,
    Deploy,
    Evidence,
    Hypothesis,
    Impact,
    IncidentEvent,
    IncidentService,
    IncidentState,
    NotifyReason,
    Place,
    RuledOut,
    ScorePart,
    Severity,
)
from schemas.pins import (
    AttributeContrast,
    MetricChange,
    PinnedEdge,
    PinnedEvidence,
    PinnedTrace,
    ServiceContrast,
    ServiceMetrics,
    UsersHit,
)
from schemas.queries import Trace
from schemas.snapshots import CallerFinding, NodeFinding, RankingSnapshot, SeriesFinding
from sinks.postgres.incidents import Incident

S: Final = 1_000_000_000
ONSET_NS: Final = 1_795_426_200 * S
TRACE_ID: Final = "0af7651916cd43dd8448eb211c80319c"
_CURSOR: Final = "WzE3OTU0MjYyMDAwMDAwMDAwMDAsImluYy03ZDFmMGM1MiIsIjFmMmUzZDRjIl0"

GAP: Final = SeriesScore(
    kind=SeriesKind.GAP,
    edge_client="checkout",
    value=412.0,
    median=2.1,
    scale=1.4,
    score=292.8,
    unit="ms",
    requests=318,
    deviating=True,
    since_ns=ONSET_NS,
)
EVENT: Final = IncidentEvent(
    event_id="evt-7d1f0c52-3",
    incident_id="inc-7d1f0c52",
    tenant="shop",
    sequence=3,
    kind="updated",
    at_ns=ONSET_NS + 90 * S,
    onset_ns=ONSET_NS,
    state=IncidentState.OPEN,
    severity=Severity.HIGH,
    title="checkout is slow: its calls to postgresql:orders take 412 ms longer than usual",
    services=[
        IncidentService(
            service="postgresql:orders",
            node_kind=NodeKind.DATABASE,
            since_ns=ONSET_NS,
            reason="its calls take longer than the baseline",
            peak=GAP,
        ),
        IncidentService(
            service="checkout",
            since_ns=ONSET_NS + 10 * S,
            reason="calls postgresql:orders",
            peak=GAP.model_copy(update={"kind": SeriesKind.P95, "edge_client": None, "score": 34.0}),
        ),
    ],
    impact=Impact(
        requests=5_120,
        failed_requests=417,
        slow_requests=1_682,
        share=0.41,
        peak_share=0.44,
        share_now=0.43,
        services=2,
    ),
)
HYPOTHESIS: Final = Hypothesis(
    rank=1,
    suspect_kind="edge",
    service="postgresql:orders",
    edge_client="checkout",
    title="the connection from checkout to postgresql:orders is slow",
    score=8.7,
    confidence=0.82,
    place=Place.ROOT_CAUSE,
    parts=[
        ScorePart(name="gap", value=5.9, weight=1.2, contribution=7.1, why="the gap left its baseline first"),
        ScorePart(name="onset", value=1.0, weight=1.6, contribution=1.6, why="20 s before any other series"),
    ],
    evidence=[
        Evidence(
            kind="edge",
            summary="client p95 414 ms, server p95 2 ms, baseline gap 2.1 ms",
            query=f"/api/v1/edges?at={ONSET_NS + 60 * S}",
            series=GAP,
            trace_ids=[TRACE_ID],
        )
    ],
)
_RANKING: Final = Ranking(
    incident_id="inc-7d1f0c52",
    version=2,
    as_of_ns=ONSET_NS + 90 * S,
    as_of=rfc3339(ONSET_NS + 90 * S),
    weights_version="2026-11",
    hypotheses=[HYPOTHESIS],
    ruled_out=[RuledOut(service="cart", reason="its own time stayed at the baseline")],
)
_INCIDENT: Final = IncidentView.of(
    Incident(number=7, opened_ns=ONSET_NS + 70 * S, updated_ns=ONSET_NS + 90 * S, resolved_ns=None, current=EVENT)
)
_DEPLOY: Final = Deploy(
    deploy_id="checkout-512",
    tenant="shop",
    service="checkout",
    version="5.12.0",
    environment="production",
    at_ns=ONSET_NS - 120 * S,
    url="https://ci.example.com/builds/512",
    description="retry payments",
)
DEPLOY_EVENT: Final = _DEPLOY
_ALERT: Final = AlertView(
    alert=Alert(
        alert_id="alr-7d1f0c52-first-1",
        tenant="shop",
        incident_id="inc-7d1f0c52",
        reason=NotifyReason.FIRST,
        state=IncidentState.OPEN,
        severity=Severity.HIGH,
        title=EVENT.title,
        summary=f"41 % of entry requests hit (2 services). Most likely cause: {HYPOTHESIS.title} (confidence 82 %).",
        at_ns=ONSET_NS + 100 * S,
        onset_ns=ONSET_NS,
        services=["postgresql:orders", "checkout"],
        causes=[AlertCause(service="postgresql:orders", title=HYPOTHESIS.title, confidence=0.82)],
        path="/api/v1/incidents/inc-7d1f0c52",
    ),
    deliveries=[
        DeliveryView(
            receiver="webhook",
            status="delivered",
            attempts=1,
            finished_ns=ONSET_NS + 101 * S,
            log=[
                AttemptView(
                    attempt=1,
                    started_ns=ONSET_NS + 100 * S,
                    finished_ns=ONSET_NS + 101 * S,
                    outcome="delivered",
                    status_code=204,
                )
            ],
        )
    ],
)


INCIDENT: Final = _INCIDENT
INCIDENT_PAGE: Final = IncidentPage(items=[_INCIDENT], next_cursor=_CURSOR)
TIMELINE: Final = Timeline(incident_id="inc-7d1f0c52", items=[TimelineEntry.of(EVENT)])
RANKING: Final = _RANKING
SNAPSHOT: Final = RankingSnapshot(
    tenant="acme",
    incident_id=EVENT.incident_id,
    version=_RANKING.version,
    as_of_ns=ONSET_NS + 70 * S,
    onset_ns=ONSET_NS,
    start_ns=ONSET_NS - 20 * S,
    end_ns=ONSET_NS + 70 * S,
    nodes=[
        NodeFinding(
            service="postgresql:orders",
            node_kind=NodeKind.DATABASE,
            requests=318,
            errors=0,
            requests_before=2870,
            is_entry=False,
            callers=[CallerFinding(client="checkout", requests=318, errors=0, requests_before=2870)],
            series=[
                SeriesFinding(
                    kind=SeriesKind.GAP, client="checkout", strength=1.99, evidence=1.3, mean=397.5, peak=GAP,
                    since_ns=ONSET_NS,
                )
            ],
        )
    ],
    deploys=[],
)  # fmt: skip
SIMILAR: Final = SimilarIncidents(
    incident_id=EVENT.incident_id,
    items=[
        SimilarIncident(
            similarity=0.91,
            by_features=0.88,
            by_text=0.74,
            shared=["suspect edge checkout → postgresql:orders", "symptom gap of checkout → postgresql:orders"],
            cause=_RANKING.hypotheses[0].title,
            incident=_INCIDENT.model_copy(update={"incident_id": "inc-10c2aa9e", "name": "INC-3"}),
        )
    ],
)
DEPLOY: Final = DeployView.of(_DEPLOY)
DEPLOY_PAGE: Final = DeployPage(items=[DEPLOY])
ALERT: Final = _ALERT
ALERT_PAGE: Final = AlertPage(items=[_ALERT])
OVERVIEW: Final = overview_of(_INCIDENT, _RANKING, [_DEPLOY], [_ALERT], TIMELINE.items)
PINNED: Final = PinnedView(
    incident_id=EVENT.incident_id,
    opening=PinnedEvidence(
        moment="opening",
        version=2,
        as_of_ns=ONSET_NS + 70 * S,
        traces=[
            PinnedTrace(role="slow", service="checkout", trace=Trace(trace_id=TRACE_ID, spans=[], truncated=False))
        ],
        contrasts=[
            ServiceContrast(
                service="checkout",
                attributes=[
                    AttributeContrast(
                        source="resource", key="service.version", value="5.12.0", bad=44, bad_total=46, normal=51,
                        normal_total=2_830, separation=0.8304,
                    )
                ],
                query="SELECT source, key, value, countIf(is_bad) AS bad, ... FROM spans ...",
                parameters={"tenant": "shop", "service": "checkout", "start": ONSET_NS},
            )
        ],
        metrics=[
            ServiceMetrics(
                service="checkout",
                metrics=[
                    MetricChange(
                        metric="process.cpu.utilization", unit="1", instance="checkout-7f9c", attributes={},
                        is_rate=False, usual=0.21, value=0.97, surprise=41.6, since_ns=ONSET_NS,
                    )
                ],
                query="SELECT metric, ..., arraySort(groupArray((unix_nano, value))) AS points FROM metric_points ...",
                parameters={"tenant": "shop", "service": "checkout", "end": ONSET_NS + 70 * S},
            )
        ],
        users=UsersHit(
            users=912, hit=38, query="SELECT uniqCombined64(user) AS users, ... FROM spans ...",
            parameters={"tenant": "shop", "services": ["checkout"], "start": ONSET_NS},
        ),
        graph=[PinnedEdge(client="checkout", server="postgresql:orders", requests=318, errors=0)],
        evidence=HYPOTHESIS.evidence,
    ),
)  # fmt: skip
DEPLOY_REQUESTS: Final[dict[str, Any]] = {
    "shortest": {"summary": "The shortest one", "value": {"service": "checkout"}},
    "full": {
        "summary": "With everything that helps",
        "value": {
            "service": "checkout",
            "deploy_id": "checkout-512",
            "version": "5.12.0",
            "environment": "production",
            "kind": "deploy",
            "at": "2026-11-23T09:28:00Z",
            "url": "https://ci.example.com/builds/512",
            "description": "retry payments",
        },
    },
}


def answer(example: BaseModel, *, status: int = 200, description: str | None = None) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's entry for a good answer, with its example."""
    entry: dict[str, Any] = {"content": {JSON: {"example": example.model_dump(mode="json")}}}
    if description is not None:
        entry |= {"description": description, "model": type(example)}
    return {status: entry}
