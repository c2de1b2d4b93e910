"""Events as the stages make them, small, each with just what a test wants different."""

from __future__ import annotations

from typing import Any

from schemas.deviations import SeriesKind, SeriesScore
from schemas.health import NodeKind, RedStats, ServiceHealth
from schemas.incidents import (
    Alert,
    Deploy,
    Hypothesis,
    HypothesisSet,
    Impact,
    IncidentEvent,
    IncidentService,
    IncidentState,
    NotifyReason,
    Severity,
)
from schemas.snapshots import NodeFinding, RankingSnapshot, SeriesFinding

MINUTE_NS = 60_000_000_000
ONSET_NS = 1_760_000_000_123_456_789
WALL_NS = 1_800_000_000_000_000_000

PEAK = SeriesScore(
    kind=SeriesKind.P95, value=812.4, median=40.1, scale=4.0, score=193.1, unit="ms", requests=77, deviating=True
)


def incident_event(incident_id: str = "inc-a", sequence: int = 0, tenant: str = "acme", **other: Any) -> IncidentEvent:
    """Make an event of an incident of checkout; ``services`` may be given by name."""
    names = other.pop("services", ["checkout"])
    onset_ns = other.get("onset_ns", ONSET_NS)
    given: dict[str, Any] = {
        "event_id": f"{incident_id}:{sequence}",
        "incident_id": incident_id,
        "tenant": tenant,
        "sequence": sequence,
        "kind": "opened" if sequence == 0 else "updated",
        "at_ns": onset_ns + (sequence + 1) * MINUTE_NS,
        "onset_ns": onset_ns,
        "state": IncidentState.OPEN,
        "severity": Severity.HIGH,
        "title": "checkout is slow",
        "services": [IncidentService(service=name, since_ns=onset_ns, reason="p95", peak=PEAK) for name in names],
        "impact": Impact(requests=100, failed_requests=3, share=0.25, services=1),
    }
    return IncidentEvent(**(given | other))


def ranking(incident_id: str = "inc-a", version: int = 1, tenant: str = "acme", service: str = "cart") -> HypothesisSet:
    """Make a ranking with one suspect."""
    suspect = Hypothesis(
        rank=1, suspect_kind="service", service=service, title=f"{service} is slow itself", score=3.5,
        confidence=0.75, parts=[], evidence=[],
    )  # fmt: skip
    return HypothesisSet(
        tenant=tenant, incident_id=incident_id, version=version, as_of_ns=ONSET_NS, weights_version="w1",
        hypotheses=[suspect],
    )  # fmt: skip


def snapshot(**other: Any) -> RankingSnapshot:
    """Make what a ranking was made from: one service that is slow itself."""
    own = PEAK.model_copy(update={"kind": SeriesKind.SELF_TIME})
    series = SeriesFinding(kind=own.kind, strength=1.25, evidence=1.3, mean=700.5, peak=own, since_ns=ONSET_NS)
    cart = NodeFinding(
        service="cart", node_kind=NodeKind.SERVICE, requests=120, errors=3, is_entry=True, callers=[], series=[series]
    )
    given: dict[str, Any] = {
        "tenant": "acme", "incident_id": "inc-a", "version": 1, "as_of_ns": ONSET_NS + MINUTE_NS,
        "onset_ns": ONSET_NS, "start_ns": ONSET_NS, "end_ns": ONSET_NS + MINUTE_NS, "nodes": [cart], "deploys": [],
    }  # fmt: skip
    return RankingSnapshot(**(given | other))


def deploy(deploy_id: str = "d-1", tenant: str = "acme", **other: Any) -> Deploy:
    """Make a deploy of checkout."""
    given: dict[str, Any] = {"deploy_id": deploy_id, "tenant": tenant, "service": "checkout", "at_ns": ONSET_NS}
    return Deploy(**(given | other))


def alert(alert_id: str = "alert-1", tenant: str = "acme", **other: Any) -> Alert:
    """Make the first notification of an incident."""
    given: dict[str, Any] = {
        "alert_id": alert_id,
        "tenant": tenant,
        "incident_id": "inc-a",
        "reason": NotifyReason.FIRST,
        "state": IncidentState.OPEN,
        "severity": Severity.HIGH,
        "title": "checkout is slow",
        "summary": "p95 812 ms, usually 40 ms",
        "at_ns": ONSET_NS,
        "onset_ns": ONSET_NS,
        "services": ["checkout"],
        "path": "/api/v1/incidents/inc-a",
    }
    return Alert(**(given | other))


def health(
    service: str = "checkout", tenant: str = "acme", pane_start_ns: int = ONSET_NS, **other: Any
) -> ServiceHealth:
    """Make a calm pane."""
    calm = RedStats(requests=10, errors=0, rate_per_s=1.0, error_rate=0.0, p95_ms=40.0)
    given: dict[str, Any] = {
        "tenant": tenant,
        "service": service,
        "node_kind": NodeKind.SERVICE,
        "pane_start_ns": pane_start_ns,
        "pane_s": 10,
        "window_s": 60,
        "revision": 0,
        "final": False,
        "pane": calm,
        "window": calm,
    }
    return ServiceHealth(**(given | other))
