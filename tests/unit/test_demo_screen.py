"""What the person at the terminal of a demo sees."""

from __future__ import annotations

import io

from rich.console import Console

from deploy.shop.faults import FAULTS
from schemas.incidents import Hypothesis, Place, ScorePart
from topologies.demo.front_door import SeenIncident
from topologies.demo.screen import Screen, number_of

DELAY = FAULTS["delay"]


def seen() -> SeenIncident:
    """Return an incident whose first suspect is the truth."""
    part = ScorePart(name="gap", value=1.0, weight=1.0, contribution=1.0, why="the gap left its baseline first")
    suspects = [
        Hypothesis(
            rank=1, suspect_kind="edge", service="payments", edge_client="checkout", title="payments [is] slow",
            score=1.4, confidence=0.7, place=Place.ROOT_CAUSE, parts=[part], evidence=[],
        ),
        Hypothesis(
            rank=2, suspect_kind="service", service="checkout", title="checkout is slow", score=0.4, confidence=0.1,
            parts=[], evidence=[],
        ),
    ]  # fmt: skip
    return SeenIncident("i", "INC-1", "payments: gap 400 ms", "open", "high", 1, None, suspects, "story")


def test_without_a_terminal_everything_that_happens_is_a_plain_line() -> None:
    """No control characters, the truth marked by a star, square brackets untouched."""
    output = io.StringIO()
    with Screen(Console(file=output)) as screen:
        screen.phase("fault delay")
        screen.status("150 spans/s")
        screen.status("151 spans/s")
        screen.incident(seen(), DELAY)
        screen.ranking(seen(), DELAY)
    said = output.getvalue()
    assert "\x1b" not in said
    assert "== fault delay" in said
    assert "150 spans/s" in said
    assert "151 spans/s" not in said, "figures come every quarter of a minute at most"
    assert "* 1. payments [is] slow (checkout → payments)  score 1.40  (gap 1.00)" in said
    assert "  2. checkout is slow" in said


def test_a_terminal_shows_phase_figures_incident_and_suspects() -> None:
    """The picture holds all of it, and survives markup in names."""
    output = io.StringIO()
    console = Console(file=output, force_terminal=True, width=140, height=50)
    with Screen(console) as screen:
        screen.phase("fault delay")
        screen.status("150 spans/s")
        screen.incident(seen(), DELAY)
    picture = output.getvalue()
    for text in ("fault delay", "150 spans/s", "INC-1  open  high", "payments [is] slow", "root cause", "gap 1.00"):
        assert text in picture


def test_one_is_told_as_one() -> None:
    """A page that says `1 alerts` looks unread."""
    assert [number_of(count, "alert") for count in (0, 1, 2)] == ["0 alerts", "1 alert", "2 alerts"]
