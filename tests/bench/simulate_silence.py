"""Simulate how traffic ends, live: abruptly, slowly, as a test of the load; ``python -m tests.bench.simulate_silence``.

A door and a service behind it. Counted are incidents that tell of a stop.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median

from streams.incidents import IncidentFold
from streams.judging import JudgeFold, JudgeMemory
from tests.made_health import PANE_NS, pane_start
from tests.quiet_day import Made, QuietDay

_SERVICES = (Made("storefront", (), 1.0, 8.0), Made("catalog", ("storefront",), 2.0, 3.0))
_MINUTE = 6
_SEEDS = range(4)


@dataclass
class Traffic(QuietDay):
    """Requests a second at the door, by pane, with the wandering of a quiet day."""

    services: tuple[Made, ...] = _SERVICES
    noon_per_s: float = 1.0
    course: Callable[[int], float] = float

    def load(self, pane: int) -> float:
        """Return the requests a second."""
        return self.course(pane)


def stops(course: Callable[[int], float], panes: int, seed: int) -> Iterator[float]:
    """Yield when incidents of a stop are opened, in minutes since the beginning."""
    fold, incidents = JudgeFold(), IncidentFold("quiet")
    memories = {one.name: JudgeMemory() for one in _SERVICES}
    for pane, pictures in Traffic(seed, course=course).panes(panes):
        judged = [fold.advance(memories[one.service], one) for one in pictures]
        found = [one for one in judged if one is not None]
        for event in incidents.step_pane(pane_start(pane), found, pane_start(pane + 2)):
            if event.kind == "opened" and "stopped" in event.title:
                yield (event.at_ns - pane_start(0)) / PANE_NS / _MINUTE


def _print(what: str, course: Callable[[int], float], minutes: int, since: float = 0.0) -> None:
    found = [list(stops(course, minutes * _MINUTE, seed)) for seed in _SEEDS]
    delays = [one[0] - since for one in found if one]
    after = f", the first {median(delays) * 60:.0f} s after" if delays and since else ""
    print(f"{what:44} {sum(map(len, found))} in {len(_SEEDS)} runs{after}", flush=True)


def main() -> None:
    """Print the table."""
    for rate in (0.3, 0.6, 1.0, 2.0, 10.0):
        _print(f"{rate:g}/s for 30 min, then nothing", lambda pane, r=rate: r if pane < 180 else 0.0, 45, 30.0)
    for rate in (0.3, 0.6, 1.0):
        _print(f"{rate:g}/s for 2 h", lambda _, r=rate: r, 120)
    for busy in (2, 5, 10, 15, 25):
        period = (busy + 30) * _MINUTE
        test = lambda pane, p=period, b=busy: 0.0 if pane % p < 30 * _MINUTE else 10.0  # noqa: E731
        _print(f"10/s for {busy} min after 30 min without, 3 times", test, 3 * (busy + 30) + 20)
    for tau in (1, 3, 10, 30, 60):
        fall = lambda pane, t=tau: 5.0 * 2.718 ** (-max(0, pane - 180) / _MINUTE / t)  # noqa: E731
        _print(f"5/s for 30 min, then a fall by e in {tau} min", fall, min(30 + 10 * tau, 400), 30.0)


if __name__ == "__main__":
    main()
