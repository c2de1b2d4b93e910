"""The one sentence that an on-call person reads first: true numbers, causes as causes, consequences as consequences."""

from __future__ import annotations

from api import examples
from api.views.incidents import IncidentView
from api.views.overview import overview_of
from schemas.incidents import Place

S = 1_000_000_000
REASON = "checkout: 95th percentile 579 ms (normally 178 ms); it calls payments, which deviates itself"


def summary(incident: IncidentView, confidence: float = 0.997) -> str:
    """Return the sentence of an incident with a root cause and somebody who suffers from it."""
    root = examples.HYPOTHESIS.model_copy(update={"title": "payments is slow", "confidence": confidence})
    first = root.model_copy(
        update={"service": "checkout", "place": Place.FIRST_CRITICAL_FAILURE, "title": "checkout deviated first"}
    )
    ranking = examples.RANKING.model_copy(update={"hypotheses": [root, first]})
    return overview_of(incident, ranking, [], [], []).story.summary


def incident(**update: object) -> IncidentView:
    """Return an incident in which 467 of 3,041 requests were slow, with something changed."""
    impact = examples.INCIDENT.impact.model_copy(
        update={
            "requests": 3041,
            "failed_requests": 0,
            "slow_requests": 467,
            "share": 0.1536,
            "peak_share": 0.2,
            "services": 2,
        }
    )
    database, checkout = examples.INCIDENT.services
    services = [database, checkout.model_copy(update={"reason": REASON})]
    return examples.INCIDENT.model_copy(update={"impact": impact, "services": services, **update})


def test_who_suffers_is_told_by_what_it_suffers() -> None:
    """Not by what it was suspected of: the cause of it is another."""
    said = summary(incident())
    assert "First to suffer on the way to the users: checkout, 95th percentile 579 ms (normally 178 ms). " in said
    assert "deviated first" not in said
    assert "users: checkout. Since" in summary(incident(services=[]))


def test_slow_requests_are_counted_beside_failed_ones() -> None:
    """And the share is what it is, in the one form of a share; nearly sure is not certain."""
    said = summary(incident())
    assert ", 15 % of requests are affected (of 3041: 467 slow, 0 failed) over 2 services." in said
    assert "(>99 % confidence)" in said


def test_what_is_over_is_told_as_over() -> None:
    """Since when, until when, and nobody is affected any more."""
    said = summary(incident(resolved_ns=examples.ONSET_NS + 600 * S, resolved_at="2026-11-23T14:57:00Z"))
    assert "until 2026-11-23T14:57:00Z, up to 20 % of requests were affected" in said
    assert " are affected" not in said
