"""The parts of a score that come from traces, calls and signatures, one by one."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations, SignatureChange
from schemas.health import Passage
from schemas.incidents import HypothesisSet, Impact, IncidentEvent, IncidentState, Severity
from streams.hypotheses import TenantPicture, rank, snapshot_of
from tests.made_health import deviations, pane_start

PAST, PANES = 12, 6
Pane = Sequence[ServiceDeviations]


def passing(one: ServiceDeviations, *passages: Passage) -> ServiceDeviations:
    """Return what is known of a service with the traces that pass through it."""
    return one.model_copy(update={"passages": list(passages)})


def traces(count: int, *, failing: int = 0, origins: int = 0, slow: int = 0) -> Passage:
    """Return traces that came in at front: usual ones in bin 300, slow ones in bin 320."""
    durations = {300: count - slow} | ({320: slow} if slow else {})
    return Passage(entry="front", traces=count, failing=failing, origins=origins, durations=durations)


def ranked(past: Pane, now: Pane) -> HypothesisSet:
    """Rank after panes that all look like `past`, then all like `now` since the onset."""
    picture = TenantPicture("acme")
    for pane in range(-PAST, PANES):
        for one in now if pane >= 0 else past:
            picture.step(one.model_copy(update={"pane_start_ns": pane_start(pane)}))
    event = IncidentEvent(
        event_id="inc-1-1", incident_id="inc-1", tenant="acme", sequence=1, kind="opened", at_ns=pane_start(1),
        onset_ns=pane_start(2), state=IncidentState.OPEN, severity=Severity.HIGH, title="something", services=[],
        impact=Impact(requests=1, failed_requests=0, share=0.0, services=1),
    )  # fmt: skip
    return rank(snapshot_of(picture, event, [], pane_start(PANES), 1))


def parts(ranking: HypothesisSet, name: str) -> dict[str, float]:
    """Return the value of a part by service, of those that have it."""
    return {h.service: part.value for h in ranking.hypotheses for part in h.parts if part.name == name}


def test_the_service_in_which_traces_fail_first_has_the_origin() -> None:
    """Its caller fails as often, but never first."""
    calm = [passing(deviations(name, 0), traces(50)) for name in ("front", "cart", "pay")]
    now = [
        passing(deviations("front", 0), traces(50, failing=20)),
        passing(deviations("cart", 0), traces(50, failing=20)),
        passing(deviations("pay", 0), traces(30, failing=20, origins=20)),
    ]
    ranking = ranked(calm, now)
    assert set(parts(ranking, "origin")) == {"pay"}
    assert ranking.hypotheses[0].service == "pay"


def test_failures_that_were_usual_before_the_onset_are_no_origin() -> None:
    """A chronic error says nothing about today's incident."""
    chronic = [passing(deviations("front", 0), traces(50, failing=20, origins=20))]
    assert parts(ranked(chronic, chronic), "origin") == {}


def test_a_service_that_only_slow_traces_pass_is_more_alike_than_one_that_all_pass() -> None:
    """Ochiai: sqrt(0.4) for the one, near 1 for the other; nothing for one that only fast traces pass."""
    calm = [passing(deviations(name, 0), traces(count)) for name, count in (("front", 50), ("pay", 20), ("ads", 30))]
    now = [
        passing(deviations("front", 0), traces(50, slow=20)),
        passing(deviations("pay", 0), traces(20, slow=20)),
        passing(deviations("ads", 0), traces(30)),
    ]
    alike = parts(ranked(calm, now), "spectrum")
    assert alike["pay"] > 0.9 > alike["front"] > 0.5
    assert "ads" not in alike


def test_calls_that_a_service_no_longer_makes_are_held_against_it() -> None:
    """Requests are cut short in it; it is called as ever."""
    calm = [deviations("basic", 0, callers=["front"]), deviations("route", 0, callers=["basic"])]
    now = [deviations("basic", 0, callers=["front"]), deviations("route", 0, callers=["basic"], requests=5)]
    missing = parts(ranked(calm, now), "missing_calls")
    assert set(missing) == {"basic"}
    assert missing["basic"] > 1.0


def test_fewer_calls_because_of_fewer_requests_are_not_missing() -> None:
    """Calls are counted per request."""
    calm = [deviations("basic", 0, callers=["front"]), deviations("route", 0, callers=["basic"])]
    now = [
        deviations("basic", 0, callers=["front"], requests=10),
        deviations("route", 0, callers=["basic"], requests=10),
    ]
    assert parts(ranked(calm, now), "missing_calls") == {}


def saying(one: ServiceDeviations, change: str, since: int, severity: str = "error") -> ServiceDeviations:
    """Return what is known of a service that says something else since a pane."""
    series = SeriesScore(
        kind=SeriesKind.SIGNATURE, name=f"{one.service}-1", value=4.0, median=0.0, scale=1.0, score=4.0, unit="lines",
        requests=50, evidence=1.2, deviating=True, since_ns=pane_start(since),
    )  # fmt: skip
    signature = SignatureChange.model_validate(
        {
            "change": change, "kind": "log", "template": "no contact <*>", "severity": severity,
            "first_seen_ns": pane_start(since), "sample": "no contact 7", "sample_trace_id": "ab" * 16,
            "series": series,
        }
    )  # fmt: skip
    return one.model_copy(update={"signatures": [signature]})


def test_a_new_error_line_is_held_against_the_deepest_service_that_has_one() -> None:
    """Its caller's new line is explained by it; the line itself is the evidence."""
    calm = [deviations("basic", 0, callers=["front"]), deviations("route", 0, callers=["basic"])]
    now = [
        saying(deviations("basic", 0, callers=["front"]), "new", 2),
        saying(deviations("route", 0, callers=["basic"]), "new", 2),
    ]
    ranking = ranked(calm, now)
    new = parts(ranking, "new_signature")
    assert new["route"] > 2 * new["basic"]
    evidence = next(e for e in ranking.hypotheses[0].evidence if e.kind == "signature")
    assert "no contact 7" in evidence.summary
    assert evidence.trace_ids == ["ab" * 16]


def test_lines_that_rise_or_warn_say_less_and_old_or_gone_ones_nothing() -> None:
    """News of well before the onset has another cause."""

    def worth(change: str, since: int, severity: str = "error") -> float:
        now = [saying(deviations("cart", 0, entry=True), change, since, severity)]
        return parts(ranked([deviations("cart", 0, entry=True)], now), "new_signature").get("cart", 0.0)

    assert worth("new", 2) > worth("rising", 2) > 0
    assert worth("new", 2) > worth("new", 2, "warn") > 0
    assert worth("gone", 2) == worth("new", -11) == 0.0
