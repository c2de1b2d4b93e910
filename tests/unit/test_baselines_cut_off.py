"""A suspicion that silence cut off: what was learned while it grew was not refuted, so it is no normal."""

from __future__ import annotations

from schemas.deviations import SeriesKind, SeriesScore
from streams.baselines import BaselineFold
from tests.made_health import health

CLEAN, FAILING = {"info": 4}, {"info": 3, "error": 1}


class Run:
    """A service with little traffic, pane by pane."""

    def __init__(self) -> None:
        self.fold = BaselineFold()
        self.state: bytes | None = None

    def see(self, panes: range, requests: int, logs: dict[str, int]) -> SeriesScore | None:
        """Step panes alike; return the error logs as the last one judges them."""
        told = None
        for pane in panes:
            self.state, told = self.fold.step(self.state, health("codes", pane, requests, logs=logs))
        assert told is not None
        return next((s for s in told.series if s.kind is SeriesKind.LOG_ERRORS), None)


def known(share: float, score: SeriesScore | None) -> bool:
    """Tell whether so much of an alarm is known."""
    return score is not None and score.evidence >= share


def test_a_suspicion_that_silence_cut_off_is_no_part_of_what_is_normal() -> None:
    """The outage was half proved when telemetry stopped, and goes on after it: as few failures prove it as before."""
    run, fresh = Run(), Run()
    run.see(range(6), 1, CLEAN)
    fresh.see(range(6), 1, CLEAN)
    assert known(0.5, run.see(range(6, 13), 1, FAILING))
    for one in (run, fresh):
        one.see(range(13, 40), 0, {})
    after, usual = run.see(range(40, 44), 1, FAILING), fresh.see(range(40, 44), 1, FAILING)
    assert after is not None
    assert usual is not None
    assert (after.median, after.evidence) == (usual.median, usual.evidence)


def test_a_service_that_is_known_well_keeps_what_it_learned() -> None:
    """What comes in bursts between long pauses is a habit, too."""
    run = Run()
    run.see(range(30), 1, CLEAN)
    before = run.see(range(30, 31), 1, FAILING)
    suspected = run.see(range(31, 34), 1, FAILING)
    assert known(0.5, suspected)
    assert not known(1.0, suspected)
    run.see(range(34, 70), 0, {})
    after = run.see(range(70, 71), 1, FAILING)
    assert before is not None
    assert after is not None
    assert after.median > before.median


def test_what_silence_cut_off_before_it_was_suspicious_was_learned() -> None:
    """A failure now and then is a habit, however long the pauses between are."""
    run = Run()
    run.see(range(6), 1, CLEAN)
    for start in range(6, 406, 40):
        last = run.see(range(start, start + 2), 1, FAILING)
        run.see(range(start + 2, start + 40), 0, {})
    assert last is not None
    assert last.median > 0.4
