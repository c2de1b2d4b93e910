"""A shop whose incidents are stepped pane by pane."""

from __future__ import annotations

from collections.abc import Sequence

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.incidents import IncidentEvent
from streams.incidents import IncidentFold
from tests.made_health import PANE_NS, deviations, pane_start, score

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
