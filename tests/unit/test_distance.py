"""How far below the impact a suspect is, as a part of its score."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from schemas.deviations import SeriesKind, SeriesScore, ServiceDeviations
from schemas.health import NodeKind
from schemas.incidents import HypothesisSet
from streams.hypotheses import WEIGHTS, TenantPicture, rank, snapshot_of
from tests.made_health import deviations, pane_start, score
from tests.unit.test_hypotheses import incident

PANES = 6


def bad(kind: SeriesKind, client: str | None = None, strength: float = 100.0) -> SeriesScore:
    """Return a series that deviates from the onset on."""
    return score(kind, 0, value=300.0, median=3.0, strength=strength, client=client, since=0)


SLOW = [bad(SeriesKind.SELF_TIME)]
FELT = [bad(SeriesKind.P95)]


def ranked(*services: ServiceDeviations) -> HypothesisSet:
    """Rank after panes that all look alike."""
    picture = TenantPicture("acme")
    for pane in range(PANES):
        for one in services:
            picture.step(one.model_copy(update={"pane_start_ns": pane_start(pane)}))
    return rank(snapshot_of(picture, incident(), [], pane_start(PANES), 1))


def distances(ranking: HypothesisSet) -> dict[str, float]:
    """Return the part by service, of those that have it."""
    return {h.service: part.value for h in ranking.hypotheses for part in h.parts if part.name == "distance"}


def chain(series: Sequence[SeriesScore] = SLOW) -> list[ServiceDeviations]:
    """Return front, which calls cart, which calls pay; these series at each of the two."""
    return [
        deviations("front", 0, FELT, entry=True),
        deviations("cart", 0, series, callers=["front"]),
        deviations("pay", 0, series, callers=["cart"]),
    ]


def test_of_two_that_are_as_slow_the_one_farther_from_the_users_is_named() -> None:
    """Names would say the other one; both say how far they are."""
    ranking = ranked(*chain())
    assert [one.service for one in ranking.hypotheses] == ["pay", "cart"]
    assert distances(ranking) == {"pay": 1.0, "cart": 0.5}
    (why,) = [part.why for part in ranking.hypotheses[0].parts if part.name == "distance"]
    assert why == "2 calls below front, where users feel it; the farthest suspect is 2"


def test_distance_accuses_nobody_by_itself() -> None:
    """A database below everything, of which nothing is known, is not suspected; a faint suspicion stays faint."""
    calm = deviations("db", 0, callers=["pay"], kind=NodeKind.DATABASE)
    ranking = ranked(*chain()[:2], deviations("pay", 0, callers=["cart"]), calm)
    assert [one.service for one in ranking.hypotheses] == ["cart"]
    faint = [bad(SeriesKind.SELF_TIME, strength=3.1)]
    said = {part.name: part.value for one in ranked(*chain(faint)).hypotheses for part in one.parts}
    assert said.get("distance", 0.0) <= said["self_time"] + said["first"]


def test_it_never_says_what_a_suspect_does() -> None:
    """Titles and kinds are of the parts that do."""
    first = ranked(*chain()).hypotheses[0]
    assert first.title == "pay itself is slow"
    assert sum(part.contribution for part in first.parts) == pytest.approx(first.score)
    assert WEIGHTS.of["distance"] > 0


def test_it_is_counted_from_the_doors_that_feel_it() -> None:
    """A second door that calls pay itself feels nothing; where none does, it is any."""
    calm_door = deviations("admin", 0, entry=True)
    direct = deviations("pay", 0, SLOW, callers=["cart", "admin"])
    assert distances(ranked(*chain()[:2], direct, calm_door))["pay"] == 1.0
    front = deviations("front", 0, entry=True)
    why = [part.why for part in ranked(front, *chain()[1:]).hypotheses[0].parts if part.name == "distance"]
    assert why == ["2 calls below front, where users come in; the farthest suspect is 2"]


def test_a_call_whose_client_was_lost_makes_no_door() -> None:
    """Cart has some requests of nobody: it stays one call below."""
    front, cart, pay = chain()
    lost = deviations("cart", 0, requests=2, entry=True).edges_in
    cart = cart.model_copy(update={"edges_in": [*cart.edges_in, *lost], "series": [*SLOW, *FELT]})
    assert distances(ranked(front, cart, pay)) == {"pay": 1.0, "cart": 0.5}
