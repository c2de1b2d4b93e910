"""Incidents stepped pane by pane: of a shop, and of a fleet of instances."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.incidents import Hypothesis, IncidentEvent
from streams.hypotheses import TenantPicture, rank, snapshot_of
from streams.incidents import IncidentFold
from streams.judging import JudgeFold, JudgeMemory
from tests.made_fleet import Fleet
from tests.made_health import PANE_NS, deviations, edge, health, pane_start, score

CALM_PANES = 60

SHOP = {"storefront": (), "cart": ("storefront",), "checkout": ("storefront",), "payments": ("checkout",)}
"""Each service with its callers; users come in at the storefront."""


def shop(
    pane: int, bad: dict[str, list[SeriesScore]] | None = None, requests: int = 50, driven: bool = False
) -> list[ServiceDeviations]:
    """Return a pane of the shop with some series that deviate."""
    return [
        deviations(
            name, pane, (bad or {}).get(name, ()), requests=requests, callers=callers, entry=name == "storefront",
            driven=driven,
        )
        for name, callers in SHOP.items()
    ]  # fmt: skip


def first_incident(
    fleet: Fleet, requests: int, panes: int, spoil: Callable[[Fleet], None]
) -> tuple[IncidentEvent, Hypothesis]:
    """Let users call a service of many instances through a front; after ten minutes spoil it: nothing opens before.

    Return the first event after it, and the first hypothesis of then.
    """
    fold, incidents, picture = JudgeFold(), IncidentFold("acme"), TenantPicture("acme")
    memories = {"front": JudgeMemory(), fleet.service: JudgeMemory()}
    for pane in range(CALM_PANES + panes):
        if pane == CALM_PANES:
            spoil(fleet)
        front = health("front", pane, requests, edges=[edge("users", requests, kind="client")])
        judged = [fold.advance(memories[one.service], one) for one in (front, fleet.pane(pane, requests / 10))]
        found = [one for one in judged if one is not None]
        for one in found:
            picture.step(one)
        for event in incidents.step_pane(pane_start(pane), found, pane_start(pane) + 3 * PANE_NS):
            assert pane >= CALM_PANES
            return event, rank(snapshot_of(picture, event, [], pane_start(pane + 1), 1)).hypotheses[0]
    raise AssertionError("no incident")


def opened_by(seen: list[ServiceDeviations]) -> list[IncidentEvent]:
    """Return the incidents that a pane opens at once."""
    return [one for one in IncidentFold("acme").step_pane(pane_start(0), seen, pane_start(3)) if one.kind == "opened"]


def first_hypothesis(seen: list[ServiceDeviations]) -> Hypothesis:
    """Return the first hypothesis of the one incident that a pane opens, if the next two are like it."""
    [event], picture = opened_by(seen), TenantPicture("acme")
    for number in range(3):
        for one in seen:
            picture.step(one.model_copy(update={"pane_start_ns": pane_start(number)}))
    return rank(snapshot_of(picture, event, [], pane_start(3), 1)).hypotheses[0]


class Run:
    """A fold that is stepped pane by pane."""

    def __init__(self, fold: IncidentFold | None = None) -> None:
        self.fold = fold or IncidentFold("acme")
        self.events: list[IncidentEvent] = []

    def step(self, pane: int, found: Sequence[ServiceDeviations]) -> list[IncidentEvent]:
        """Step one pane, decided 25 s after its start."""
        told = self.fold.step_pane(pane_start(pane), found, pane_start(pane) + PANE_NS + 15_000_000_000)
        self.events += told
        return told

    def kinds(self) -> list[str]:
        """Return the kinds of all events so far."""
        return [event.kind for event in self.events]

    def opened(self) -> list[IncidentEvent]:
        """Return the events that opened an incident."""
        return [event for event in self.events if event.kind == "opened"]


def gap(pane: int, client: str, since: int | None = None) -> SeriesScore:
    """Return a slow connection from a client."""
    return score(SeriesKind.GAP, pane, client=client, since=since)


def hole(pane: int) -> list[ServiceDeviations]:
    """Return a pane of the shop in which nothing is heard of it."""
    return shop(pane, requests=0, driven=True)
