"""The same alarms in another order, and under other names: the same incidents, as severe."""

from __future__ import annotations

import random

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.deviations import SeriesKind, ServiceDeviations
from schemas.health import Passage
from streams.incidents import IncidentFold
from tests.made_health import PANE_NS, deviations, pane_start, score

Hit = dict[str, tuple[int, int]]
"""By service: how many requests it hits, and since how many panes."""

NAMES = ("one", "two", "three", "four")
HIT = st.dictionaries(st.sampled_from(NAMES), st.tuples(st.integers(1, 40), st.integers(0, 2)), max_size=4)
PANES = st.lists(HIT, min_size=1, max_size=6)


def pane_of(pane: int, hit: Hit, called: dict[str, str]) -> list[ServiceDeviations]:
    """Return web, by which 100 requests come in, and four services below it: each hits so many, since some panes."""
    web = deviations("web", pane, requests=100, entry=True)
    found = [web.model_copy(update={"passages": [Passage(entry="web", traces=100, durations={9: 100})]})]
    for name in NAMES:
        traces, earlier = hit.get(name, (50, 0))
        since = [score(SeriesKind.GAP, pane, client="web", since=max(0, pane - earlier))] if name in hit else []
        one = deviations(called[name], pane, since, requests=traces, callers=["web"])
        found.append(one.model_copy(update={"passages": [Passage(entry="web", traces=traces, durations={9: traces})]}))
    return found


def told(panes: list[Hit], called: dict[str, str], chance: random.Random) -> list[tuple[object, ...]]:
    """Return kind, time, severity, share and reason of each event."""
    fold, events = IncidentFold("acme"), []
    for pane, hit in enumerate(panes):
        found = pane_of(pane, hit, called)
        chance.shuffle(found)
        events += fold.step_pane(pane_start(pane), found, pane_start(pane) + PANE_NS)
    return [(one.kind, one.at_ns, one.severity, one.impact.share, one.severity_reason) for one in events]


@settings(max_examples=80, deadline=None)
@given(panes=PANES, seed=st.integers(0, 1000))
def test_severity_does_not_depend_on_which_alarm_comes_first(panes: list[Hit], seed: int) -> None:
    """Neither in the order of records, nor in that of names."""
    plain = dict(zip(NAMES, NAMES, strict=True))
    other = dict(zip(NAMES, random.Random(seed).sample(NAMES, 4), strict=True))
    assert told(panes, plain, random.Random(seed)) == told(panes, other, random.Random(seed + 1))
