"""A request every few minutes: what goes wrong with those is found after a few of them, and silence is no fault."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from schemas.deviations import SeriesKind
from schemas.health import ServiceHealth
from schemas.incidents import IncidentEvent
from streams.baselines import BaselineConfig
from streams.baselines.history import History
from streams.baselines.pace import patience_of
from streams.incidents import IncidentFold
from streams.judging import JudgeFold, JudgeMemory
from streams.slo import Budgets, BurnRateFold
from tests.made_health import PANE_NS, SECOND_NS, deviations, edge, health, pane_start, score

CALM = 12
"""Requests before the fault."""
HOUR = 360


@dataclass
class Watch:
    """Judges and incidents of a service with rare requests, and of one that is always busy."""

    fold: JudgeFold = field(default_factory=JudgeFold)
    budgets: BurnRateFold = field(default_factory=BurnRateFold)
    memory: JudgeMemory = field(default_factory=JudgeMemory)
    spent: Budgets = field(default_factory=Budgets)
    incidents: IncidentFold = field(default_factory=lambda: IncidentFold("acme"))

    def see(self, pane: int, rare: ServiceHealth) -> list[IncidentEvent]:
        """Take a pane; return what becomes of incidents."""
        judged = (self.fold.advance(self.memory, rare), self.budgets.advance(self.spent, rare)[0])
        found = [one for one in judged if one is not None]
        found.append(deviations("shop", pane, entry=True))
        return self.incidents.step_pane(pane_start(pane), found, pane_start(pane + 2))


def rare(pane: int, every: int, *, slower: float = 1.0, fails: bool = False) -> ServiceHealth:
    """Return a pane of a service that has a request in one of so many panes."""
    if pane % every:
        return health("reports", pane, 0, window_requests=int(pane % every < 6))
    own_ms = 20.0 * slower * (1.0 + pane // every % 5 / 10)
    edges = [edge("shop", 1, errors=int(fails))]
    return health("reports", pane, 1, errors=int(fails), own_ms=own_ms, edges=edges, window_requests=1)


def told(every: int, bad: dict[int, dict[str, float]], panes: int) -> list[tuple[float, IncidentEvent]]:
    """Return what becomes of incidents, and after how many requests, where some requests are `bad`."""
    watch, found = Watch(), []
    for pane in range(panes):
        if pane % every < 6 or pane % 3 == 0:  # silent panes all say the same
            found += [(pane / every, e) for e in watch.see(pane, rare(pane, every, **bad.get(pane // every, {})))]
    return [(after, event) for after, event in found if event.kind in ("opened", "resolved")]


@pytest.mark.parametrize("every", [18, 30, 60])
@pytest.mark.parametrize("fault", [{"slower": 50.0}, {"fails": True}])
def test_what_goes_wrong_with_rare_requests_is_an_incident_after_six_of_them(
    every: int, fault: dict[str, float]
) -> None:
    """One in three, five and ten minutes. It lasts as long as they do, and is over a few good ones later."""
    lasts = range(CALM, CALM + 12)
    (after, opened), (ended, over) = told(every, dict.fromkeys(lasts, fault), (CALM + 24) * every)
    assert "reports" in opened.title
    assert after < CALM + 6
    assert over.resolve_reason == "recovered"
    assert lasts.stop <= ended < lasts.stop + 12


def test_a_service_that_falls_idle_is_quiet_and_its_incident_ends_for_want_of_traffic() -> None:
    """Five minutes between requests: twenty without one still say nothing, an hour does."""
    every = 30
    watch, found = Watch(), []
    for pane in range((CALM + 8) * every + HOUR):
        is_over = pane >= (CALM + 8) * every
        one = health("reports", pane, 0) if is_over else rare(pane, every, slower=50.0 if pane >= CALM * every else 1.0)
        found += [(pane, event) for event in watch.see(pane, one) if event.kind in ("opened", "resolved")]
    (_, opened), (ended, over) = found
    assert opened.incident_id == over.incident_id
    assert over.resolve_reason == "no_traffic"
    assert (CALM + 8) * every + 60 < ended < (CALM + 8) * every + HOUR


@pytest.mark.parametrize(("pauses_s", "patience"), [
    ((10,) * 9, 1), ((60,) * 9, 1), ((10, 10, 10, 10, 3000), 1), ((180,) * 4, 1), ((180,) * 9, 5), ((900,) * 9, 25),
    ((90_000,) * 9, 25), ((300, 10, 300, 20, 300), 8),
])  # fmt: skip
def test_who_is_waited_for_has_a_request_every_few_minutes(pauses_s: tuple[int, ...], patience: int) -> None:
    """By several pauses, of which one may be a hole in the telemetry; never for more than an hour."""
    history, at_ns = History(), pane_start(0)
    for pause_s in (0, *pauses_s):
        at_ns += pause_s * SECOND_NS
        history.write(at_ns, 1.0, {}, {})
        history.write(at_ns + PANE_NS, 0.0, {}, {})
    assert patience_of(history, at_ns + 2 * PANE_NS, BaselineConfig()) == patience


def test_that_others_are_busy_ends_no_incident_of_rare_requests() -> None:
    """The caller that waits for it is a symptom; it has requests all the time, most of which need no report."""
    fold, opened = IncidentFold("acme"), []
    for pane in range(40):
        slow, waits = [], []
        if pane % 10 == 0 and pane < 30:
            slow = [score(SeriesKind.SELF_TIME, pane, since=0)]
            waits = [score(SeriesKind.P95, pane, since=0)]
        reports = deviations("reports", pane, slow, requests=int(pane % 10 == 0), callers=["shop"])
        told = [reports.model_copy(update={"usual_silence_s": 400.0}), deviations("shop", pane, waits, entry=True)]
        opened += [(event.kind, pane) for event in fold.step_pane(pane_start(pane), told, pane_start(pane + 1))]
    assert [kind for kind, _ in opened].count("opened") == 1
    assert "resolved" not in [kind for kind, _ in opened]
