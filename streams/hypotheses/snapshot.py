"""Take from the picture all that a ranking looks at."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.deviations import SeriesKind
from schemas.incidents import Deploy, IncidentEvent
from schemas.snapshots import NodeFinding, RankingSnapshot
from streams.hypotheses.findings import findings_of
from streams.hypotheses.picture import Pane, TenantPicture
from streams.hypotheses.weights import WEIGHTS
from streams.points.moves import moves_of

_NS = 1_000_000_000
_LOOK_S = 300.0
"""A ranking looks at the first minutes since the onset: what comes later are mostly consequences.

Trouble of another kind that begins after them is not: then it looks at the first minutes since that."""
_EARLIER_S = 20.0
_GATHERED_S = 240.0
"""Trouble that gathered for longer is looked at from so long before it was believed: its beginning is uncertain."""
_PAST_S = 600.0
"""How far before the onset calls per request are counted as normal."""


def snapshot_of(
    picture: TenantPicture, incident: IncidentEvent, deploys: Sequence[Deploy], as_of_ns: int, version: int
) -> RankingSnapshot:
    """Return what is known of an incident at `as_of_ns`. The same input, in any order, gives the same snapshot.

    `deploys` are those of the tenant near the incident; later ones than `as_of_ns` are ignored.
    """
    first_ns = max(incident.onset_ns, incident.opened_at_ns - int(_GATHERED_S * _NS))
    since_ns = max(first_ns, incident.renewed_ns)
    start_ns = since_ns - int(_EARLIER_S * _NS)
    end_ns = max(start_ns, min(as_of_ns, since_ns + int(_LOOK_S * _NS)))
    before = _past(picture, first_ns) or _past(picture, since_ns)
    known = sorted((d for d in deploys if d.at_ns <= as_of_ns), key=lambda d: (d.at_ns, d.deploy_id))
    rates = [one for one in incident.services if one.peak.kind is SeriesKind.REQUEST_RATE and not one.peak.operation]
    stopped = [one.service for one in rates]
    nodes = findings_of(before, picture.between(start_ns, end_ns), stopped)
    return RankingSnapshot(
        tenant=incident.tenant, incident_id=incident.incident_id, version=version, as_of_ns=as_of_ns,
        onset_ns=max(incident.onset_ns, incident.renewed_ns), start_ns=start_ns, end_ns=end_ns,
        services=_services_of(incident),
        nodes=[_with_metrics(node, picture, start_ns, end_ns, as_of_ns) for node in nodes], deploys=known,
        weights=WEIGHTS,
    )  # fmt: skip


def _past(picture: TenantPicture, since_ns: int) -> list[tuple[int, Pane]]:
    """Return the panes before trouble that began at an instant, as far as they are remembered."""
    end_ns = since_ns - int(_EARLIER_S * _NS)
    return list(picture.between(end_ns - int(_PAST_S * _NS), end_ns))


def _services_of(incident: IncidentEvent) -> list[str]:
    """Return the services whose trouble the cause must have to do with; of a stop that is nobody in particular.

    A caller that fails early no longer calls the rest, so the one to blame may be beside the one that is not called.
    """
    if any(one.peak.kind is SeriesKind.REQUEST_RATE for one in incident.services):
        return []
    return sorted(one.service for one in incident.services)


def _with_metrics(
    node: NodeFinding, picture: TenantPicture, start_ns: int, end_ns: int, as_of_ns: int
) -> NodeFinding:  # fmt: skip
    """Add the metrics that moved, by what had arrived at the instant of the ranking, however much is known by now."""
    moves = moves_of(picture.courses(node.service, as_of_ns), start_ns, end_ns)
    return node.model_copy(update={"metrics": moves}) if moves else node
