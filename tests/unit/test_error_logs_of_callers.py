"""Error logs of a caller that a callee explains: by as many failing calls, however small their share is there."""

from __future__ import annotations

from schemas.deviations import SeriesKind, SeriesScore
from schemas.incidents import HypothesisSet
from streams.hypotheses import WEIGHTS, TenantPicture, rank, snapshot_of
from tests.made_health import deviations, pane_start, score
from tests.unit.test_hypotheses import incident

PANES = 6
LOGS = SeriesKind.LOG_ERRORS


def logging(share: float, requests: int, usual: float = 0.0) -> SeriesScore:
    """Return error logs with a share of so many requests of a pane, usually with another one."""
    found = score(LOGS, 0, value=share, median=usual, strength=100.0, since=0)
    return found.model_copy(update={"requests": requests, "unit": "ratio"})


def ranked(below: SeriesScore, calls: int, *, calls_explain: bool = True) -> HypothesisSet:
    """Rank travel, all of whose 20 requests fail, and basic, which has 100 requests, some of them calls of travel."""
    picture = TenantPicture("acme")
    for pane in range(PANES):
        travel = deviations("travel", pane, [logging(1.0, 20)], requests=20, entry=True)
        basic = deviations("basic", pane, [below], requests=100, callers=["travel", "seat"])
        own, others = basic.edges_in
        edges = [own.model_copy(update={"requests": calls}), others.model_copy(update={"requests": 100 - calls})]
        for one in (travel, basic.model_copy(update={"edges_in": edges})):
            picture.step(one)
    weights = WEIGHTS.model_copy(update={"calls_explain": calls_explain})
    return rank(snapshot_of(picture, incident(), [], pane_start(PANES), 1), weights)


def logs_of(ranking: HypothesisSet, service: str) -> float:
    """Return what is said of the error logs of a service."""
    return sum(p.value for h in ranking.hypotheses for p in h.parts if h.service == service and p.name == "log_errors")


def test_as_many_failing_calls_below_explain_all_failures_of_a_caller() -> None:
    """A fifth of the requests below, and all of those of the caller: the one below is named."""
    fifth = logging(0.2, 100)
    assert ranked(fifth, calls=20).hypotheses[0].service == "basic"
    assert ranked(fifth, calls=20, calls_explain=False).hypotheses[0].service == "travel"


def test_calls_that_a_caller_did_not_make_explain_nothing_of_it() -> None:
    """Two calls of it explain two of its failures, so the share below says more."""
    fifth = logging(0.2, 100)
    few, by_share = ranked(fifth, calls=2), ranked(fifth, calls=20, calls_explain=False)
    assert logs_of(few, "travel") == logs_of(by_share, "travel")


def test_what_a_callee_always_logs_explains_nothing_new() -> None:
    """Eighty in a hundred by habit and one more: one failing call more than usual."""
    habit = logging(0.81, 100, usual=0.8)
    assert logs_of(ranked(habit, calls=20), "travel") > 1.5


def test_a_callee_whose_error_logs_are_not_believed_explains_nothing() -> None:
    """No evidence was gathered of them."""
    doubtful = logging(0.2, 100).model_copy(update={"evidence": 0.1, "deviating": False, "since_ns": None})
    assert logs_of(ranked(doubtful, calls=20), "travel") == 2.0
