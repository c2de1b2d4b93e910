"""Hypotheses: who is blamed for what, and with which reasons."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import NodeKind
from schemas.incidents import (
    Deploy,
    HypothesisSet,
    Impact,
    IncidentEvent,
    IncidentService,
    IncidentState,
    Place,
    Severity,
)
from schemas.snapshots import RankingSnapshot
from streams.hypotheses import WEIGHTS, TenantPicture, rank, snapshot_of
from streams.hypotheses.fitting import Case, choice_of
from tests.made_health import deviations, pane_start, score

PANES = 6


def incident(onset: int = 0, of: Sequence[str] = (), kind: SeriesKind = SeriesKind.GAP) -> IncidentEvent:
    """Return an open incident of some services that began in a pane."""
    peak = score(kind, onset)
    services = [IncidentService(service=name, since_ns=pane_start(onset), reason="", peak=peak) for name in of]
    return IncidentEvent(
        event_id="inc-1-1", incident_id="inc-1", tenant="acme", sequence=1, kind="opened", at_ns=pane_start(onset + 1),
        onset_ns=pane_start(onset), state=IncidentState.OPEN, severity=Severity.HIGH, title="something",
        services=services,
        impact=Impact(requests=1, failed_requests=0, share=0.0, services=1),
    )  # fmt: skip


def ranked(
    panes: Sequence[Sequence[ServiceDeviations]], deploys: Sequence[Deploy] = (), of: Sequence[str] = ()
) -> HypothesisSet:
    """Return the ranking of an incident (of some services) after these panes, of which the first is the onset."""
    picture = TenantPicture("acme")
    for pane in panes:
        for one in pane:
            picture.step(one)
    return rank(snapshot_of(picture, incident(of=of), deploys, pane_start(len(panes)), 1))


def calm(kind: SeriesKind, client: str | None = None) -> SeriesScore:
    """Return a series as it normally is."""
    return score(kind, 0, value=3.0, strength=0.2, client=client, deviating=False)


def bad(kind: SeriesKind, client: str | None = None, *, since: int = 0, strength: float = 100.0) -> SeriesScore:
    """Return a series that deviates; a ratio goes from nothing to 0.8."""
    if kind in (SeriesKind.LOG_ERRORS, SeriesKind.ERROR_RATE, SeriesKind.EDGE_ERROR_RATE):
        return score(kind, 0, value=0.8, median=0.0, client=client, since=since)
    return score(kind, 0, strength=strength, client=client, since=since)


def names(ranking: HypothesisSet) -> list[str]:
    """Return the services in order."""
    return [hypothesis.service for hypothesis in ranking.hypotheses]


def test_a_slow_connection_blames_the_callee_when_all_its_callers_see_it() -> None:
    """A network delay at cart: both callers wait, their other calls are fine."""
    gap = SeriesKind.GAP
    panes = [
        [
            deviations("cart", p, [bad(gap, "shop"), bad(gap, "checkout")], callers=["shop", "checkout"]),
            deviations("catalog", p, [calm(gap, "shop")], callers=["shop"]),
            deviations("shipping", p, [calm(gap, "checkout")], callers=["checkout"]),
            deviations("shop", p, [bad(SeriesKind.P95)], entry=True),
        ]
        for p in range(PANES)
    ]
    ranking = ranked(panes)
    assert names(ranking)[0] == "cart"
    assert "connection to cart" in ranking.hypotheses[0].title


def test_slow_connections_blame_the_caller_when_all_its_calls_are_slow() -> None:
    """A caller without CPU: four callees look far away, to it alone."""
    gap = SeriesKind.GAP
    callees = ["cart", "catalog", "ads", "mail"]
    panes = [
        [
            *(deviations(name, p, [bad(gap, "shop")], callers=["shop"]) for name in callees),
            deviations("shop", p, entry=True),
        ]
        for p in range(PANES)
    ]
    ranking = ranked(panes)
    assert names(ranking)[0] == "shop"
    assert "calling others" in ranking.hypotheses[0].title


def test_a_single_slow_connection_of_several_is_an_edge_hypothesis() -> None:
    """The other caller reaches the service as ever."""
    gap = SeriesKind.GAP
    panes = [
        [
            deviations("payments", p, [bad(gap, "checkout"), calm(gap, "shop")], callers=["checkout", "shop"]),
            deviations("stock", p, [calm(gap, "checkout")], callers=["checkout"]),
        ]
        for p in range(PANES)
    ]
    lead = ranked(panes).hypotheses[0]
    assert (lead.service, lead.suspect_kind, lead.edge_client) == ("payments", "edge", "checkout")
    assert lead.title == "the connection from checkout to payments is slow"


def test_error_logs_of_a_caller_are_explained_by_those_of_its_callee() -> None:
    """The deepest service that fails leads."""
    logs = SeriesKind.LOG_ERRORS
    panes = [
        [
            deviations("travel", p, [bad(logs)], callers=["gateway"]),
            deviations("basic", p, [bad(logs)], callers=["travel"]),
        ]
        for p in range(PANES)
    ]
    ranking = ranked(panes)
    assert names(ranking) == ["basic", "travel"]
    assert ranking.hypotheses[0].score > 1.5 * ranking.hypotheses[1].score


def test_failures_that_come_from_below_are_not_the_callers_own() -> None:
    """Every failed request of the caller failed in the callee."""
    rate = SeriesKind.ERROR_RATE
    panes = [
        [
            deviations("checkout", p, [bad(rate)], errors=40, entry=True),
            deviations("payments", p, [bad(rate)], errors=40, callers=["checkout"], failed=40),
        ]
        for p in range(PANES)
    ]
    ranking = ranked(panes)
    assert names(ranking)[0] == "payments"
    assert all(part.name != "own_errors" for h in ranking.hypotheses[1:] for part in h.parts)


def test_a_slow_database_is_a_dependency() -> None:
    """Its clients' latency is the evidence; a symptom is not a cause."""
    slow = [bad(SeriesKind.EDGE_LATENCY, "cart")]
    panes = [
        [
            deviations("postgresql:shop", p, slow, callers=["cart"], kind=NodeKind.DATABASE),
            deviations("cart", p, [bad(SeriesKind.P95)], entry=True),
        ]
        for p in range(PANES)
    ]
    lead = ranked(panes).hypotheses[0]
    assert (lead.service, lead.suspect_kind) == ("postgresql:shop", "dependency")


def deploy(service: str, before_s: float) -> Deploy:
    """Return a deploy that went live so long before the onset."""
    at_ns = pane_start(0) - int(before_s * 1e9)
    return Deploy(deploy_id=f"d-{service}", tenant="acme", service=service, version="1.5.0", at_ns=at_ns)


def test_a_deploy_of_the_suspect_raises_it_and_is_evidence() -> None:
    """An innocent deploy of another service does not."""
    rate = SeriesKind.ERROR_RATE
    panes = [
        [deviations("cart", p, [bad(rate)], errors=40, callers=["shop"]), deviations("ads", p, callers=["shop"])]
        for p in range(PANES)
    ]
    without = ranked(panes).hypotheses[0]
    ranking = ranked(panes, [deploy("cart", 20), deploy("ads", 20)])
    lead = ranking.hypotheses[0]
    assert (lead.service, lead.suspect_kind, lead.deploy_id) == ("cart", "deploy", "d-cart")
    assert lead.score > without.score
    assert any(e.kind == "deploy" and "1.5.0" in e.summary for e in lead.evidence)
    assert ranking.hypotheses[1].service == "ads"
    assert lead.score > 3 * ranking.hypotheses[1].score


@pytest.mark.parametrize("before_s", [3600.0, -120.0])
def test_a_deploy_long_before_or_after_the_onset_counts_nothing(before_s: float) -> None:
    """An hour earlier, or two minutes later."""
    panes = [[deviations("cart", p, [bad(SeriesKind.SELF_TIME)])] for p in range(30)]
    assert ranked(panes, [deploy("cart", before_s)]).hypotheses[0].deploy_id is None


def test_the_story_goes_from_the_root_to_the_users() -> None:
    """Payments is slow, checkout fails first, the users feel it at the storefront."""
    slow = bad(SeriesKind.P95)
    panes = [
        [
            deviations("payments", p, [bad(SeriesKind.SELF_TIME)], callers=["checkout"]),
            deviations("checkout", p, [slow, bad(SeriesKind.LOG_ERRORS)], callers=["storefront"]),
            deviations("storefront", p, [slow, bad(SeriesKind.SELF_TIME, strength=4.0)], entry=True),
        ]
        for p in range(PANES)
    ]
    places = {h.service: h.place for h in ranked(panes).hypotheses}
    assert places == {
        "payments": Place.ROOT_CAUSE,
        "checkout": Place.FIRST_CRITICAL_FAILURE,
        "storefront": Place.IMPACT,
    }


def test_neighbours_that_are_not_blamed_are_ruled_out_with_a_reason() -> None:
    """With the numbers that clear them."""
    panes = [
        [
            deviations("payments", p, [bad(SeriesKind.SELF_TIME)], callers=["checkout"]),
            deviations("checkout", p, [calm(SeriesKind.SELF_TIME)], entry=True),
        ]
        for p in range(PANES)
    ]
    (out,) = ranked(panes).ruled_out
    assert out.service == "checkout"
    assert out.reason == "own errors normal (0 of 300 requests), own time +0 %"


def test_the_score_is_the_sum_of_its_visible_parts() -> None:
    """And the parts are value times weight."""
    panes = [
        [deviations("cart", p, [bad(SeriesKind.SELF_TIME), bad(SeriesKind.LOG_ERRORS)], callers=["shop"])]
        for p in range(PANES)
    ]
    ranking = ranked(panes)
    lead = ranking.hypotheses[0]
    assert lead.score == pytest.approx(sum(part.contribution for part in lead.parts), abs=1e-3)
    assert all(part.contribution == pytest.approx(part.value * part.weight, abs=1e-3) for part in lead.parts)
    assert ranking.weights_version == WEIGHTS.version


def test_confidence_is_shared_between_suspects_and_nobody() -> None:
    """A weak suspicion is not sure of itself, two equal ones share, and a strong one alone is nearly sure."""

    def sure(*strengths: float) -> list[float]:
        suspects = [
            deviations(f"s{number}", 0, [bad(SeriesKind.SELF_TIME, strength=strength)])
            for number, strength in enumerate(strengths)
        ]
        return [one.confidence for one in ranked([suspects]).hypotheses]

    (weak,), (strong,), both = sure(4.0), sure(3000.0), sure(300.0, 300.0)
    assert weak < 0.5 < 0.9 < strong < 1.0
    assert both[0] == both[1] < 0.5


def test_evidence_carries_numbers_and_the_query_that_shows_them() -> None:
    """An API path for each."""
    panes = [[deviations("cart", p, [bad(SeriesKind.SELF_TIME)])] for p in range(PANES)]
    evidence = ranked(panes).hypotheses[0].evidence
    assert evidence[0].query.startswith("/api/v1/services/cart/health?start=")
    assert "own time" in evidence[0].summary


def test_what_comes_after_the_instant_of_the_ranking_is_not_used() -> None:
    """A picture that is ahead, as in a fast replay."""
    picture = TenantPicture("acme")
    for pane in range(10):
        series = [bad(SeriesKind.SELF_TIME)] if pane >= 5 else []
        picture.step(deviations("cart", pane, series))
    assert rank(snapshot_of(picture, incident(), [], pane_start(5), 1)).hypotheses == []


def test_the_same_panes_in_any_order_give_the_same_ranking() -> None:
    """And so does a second delivery."""
    panes = [
        [deviations("cart", p, [bad(SeriesKind.SELF_TIME)]), deviations("ads", p, [bad(SeriesKind.LOG_ERRORS)])]
        for p in range(PANES)
    ]
    turned = [list(reversed(pane)) for pane in reversed(panes)]
    one, other = TenantPicture("acme"), TenantPicture("acme")
    for pane in panes:
        for found in pane:
            one.step(found)
    for pane in [*turned, *turned]:
        for found in pane:
            other.step(found)
    as_of_ns = pane_start(PANES)
    snapshots = [snapshot_of(picture, incident(), [], as_of_ns, 1) for picture in (one, other)]
    assert snapshots[0] == snapshots[1]
    assert rank(snapshots[0]) == rank(snapshots[1])


def test_a_snapshot_read_back_from_json_ranks_the_same() -> None:
    """So what was believed then can be computed again."""
    picture = TenantPicture("acme")
    for pane in range(PANES):
        series = [bad(SeriesKind.SELF_TIME, strength=17.3), bad(SeriesKind.GAP, "shop", strength=9.1)]
        picture.step(deviations("cart", pane, series, callers=["shop"]))
    taken = snapshot_of(picture, incident(), [deploy("cart", 20)], pane_start(PANES), 1)
    again = RankingSnapshot.model_validate_json(taken.model_dump_json())
    assert taken.weights == WEIGHTS
    assert rank(again) == rank(taken)
    assert rank(taken).hypotheses


def test_the_picture_forgets_what_is_older_than_half_an_hour() -> None:
    """However long it is fed."""
    picture = TenantPicture("acme")
    for pane in range(1000):
        picture.step(deviations("cart", pane))
    assert len(list(picture.between(0, pane_start(2000)))) == 180


def test_nothing_deviating_blames_nobody() -> None:
    """An incident whose panes are gone."""
    assert ranked([[deviations("cart", 0)]]).hypotheses == []


def test_trouble_that_gathered_slowly_is_looked_at_around_its_opening() -> None:
    """A series that was a little off for ten minutes began nowhere: what is wrong now decides, not what was then."""
    picture = TenantPicture("acme")
    opened = 60
    for pane in range(opened + 3):
        kinds = [bad(SeriesKind.SELF_TIME, since=opened - 5)] if pane >= opened - 5 else [calm(SeriesKind.SELF_TIME)]
        picture.step(deviations("cart", pane, kinds))
    event = incident().model_copy(update={"at_ns": pane_start(opened), "opened_at_ns": pane_start(opened)})
    ranking = rank(snapshot_of(picture, event, [], pane_start(opened + 3), 1))
    assert names(ranking) == ["cart"]


def test_of_two_faults_at_once_each_incident_names_its_own() -> None:
    """What neither calls the services of an incident nor is called by them is another matter, however loud it is."""
    panes = [
        [
            deviations("shop", p, callers=["client"], entry=True),
            deviations("checkout", p, callers=["shop"]),
            deviations("payments", p, [bad(SeriesKind.GAP, "checkout", strength=30.0)], callers=["checkout"]),
            deviations("hints", p, [bad(SeriesKind.ERROR_RATE), bad(SeriesKind.LOG_ERRORS)], callers=["shop"]),
        ]
        for p in range(PANES)
    ]
    assert names(ranked(panes))[:2] == ["hints", "payments"]
    assert names(ranked(panes, of=["payments"]))[:2] == ["payments", "hints"]
    assert names(ranked(panes, of=["hints", "shop"]))[:2] == ["hints", "payments"]


def test_what_stopped_being_called_may_have_its_cause_beside_it() -> None:
    """The shop gives up when hints fail, and calls nobody else any more."""
    stopped = incident(of=["payments"], kind=SeriesKind.REQUEST_RATE)
    assert snapshot_of(TenantPicture("acme"), stopped, [], pane_start(PANES), 1).services == []
    slow = incident(of=["payments", "cart"])
    assert snapshot_of(TenantPicture("acme"), slow, [], pane_start(PANES), 1).services == ["cart", "payments"]


def test_weights_are_fitted_to_what_a_ranking_counts() -> None:
    """What is said against who has nothing to do with the incident counts less there, too."""
    picture = TenantPicture("acme")
    for p in range(PANES):
        picture.step(deviations("payments", p, [bad(SeriesKind.SELF_TIME)], callers=["checkout"]))
        picture.step(deviations("hints", p, [bad(SeriesKind.SELF_TIME)], callers=["shop"]))
    snapshot = snapshot_of(picture, incident(of=["payments"]), [], pane_start(PANES), 1)
    hints, payments = choice_of(Case("shop", "one", "payments", snapshot), WEIGHTS).parts
    assert hints.max() > 0
    assert hints == pytest.approx(0.4 * payments)


def test_the_cause_may_be_far_below_or_far_above_the_services_of_an_incident() -> None:
    """All the way down, and all the way up to where the load comes from."""
    panes = [
        [
            deviations("shop", p, [bad(SeriesKind.SELF_TIME)], callers=["client"], entry=True),
            deviations("checkout", p, callers=["shop"]),
            deviations("payments", p, callers=["checkout"]),
            deviations("bank", p, [bad(SeriesKind.SELF_TIME)], callers=["payments"]),
        ]
        for p in range(PANES)
    ]

    def scores(*of: str) -> dict[str, float]:
        return {one.service: one.score for one in ranked(panes, of=of).hypotheses}

    assert scores("checkout") == scores("not seen") == scores()
    assert {"shop", "bank"} <= scores().keys()
