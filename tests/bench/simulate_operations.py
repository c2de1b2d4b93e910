"""Quiet days of a service with twelve operations, rare ones among them: how often do failures of one alarm by chance?

Run it with ``python -m tests.bench.simulate_operations calm`` (a service day takes ten seconds), or ``cost`` (CPU and
bytes of a pane).
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter, deque

import numpy as np

from schemas.health import OperationHealth, ServiceHealth
from streams.baselines import BaselineFold, BaselineState
from streams.judging import JudgeFold
from tests.made_health import edge, health, red
from tests.quiet_day import PANES_A_DAY, QuietDay

RATES = (5.0, 3.0, 2.0, 1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.05, 0.02, 0.01)
"""Requests a second at noon."""
DAYS = {
    "hardly anything fails": ((0.0, 0.0, 0.0, 0.001, 0.01), 0.0),
    "by habit": ((0.0, 0.01, 0.05, 0.1, 0.3, 0.6, 1.0), 0.0),
    "and users retry": ((0.0, 0.001, 0.01, 0.05, 0.3, 1.0), 2.0),
}
"""Shares of failing requests, and how often a day somebody repeats a failing request of an operation."""
SEEDS = 4


def calm(seed: int, habits: tuple[float, ...], retries: float) -> Counter[str]:
    """Return the alarms of one service day: of single operations, and of the service."""
    chance, day = np.random.default_rng(seed), QuietDay(seed)
    fold, memory, alarms = BaselineFold(), BaselineState(), Counter[str]()
    rates, habit = chance.permutation(RATES), chance.choice(habits, len(RATES))
    recent: deque[np.ndarray] = deque(maxlen=6)
    left, burst, before = np.zeros(len(RATES), int), 1.0, set[str | None]()
    for pane in range(PANES_A_DAY):
        burst = 0.9 * burst + 0.1 * float(chance.lognormal(0, 0.5))
        requests = chance.poisson(rates * 10 * (0.1 + 0.9 * day.load(pane)) * burst)
        failed = chance.binomial(requests, habit)
        begin = chance.random(len(RATES)) < retries / PANES_A_DAY
        left[begin] = chance.integers(3, 9, int(begin.sum()))
        again = np.minimum(left, chance.integers(2, 6, len(RATES)))
        left -= again
        recent.append(requests + again)
        told, _ = fold.advance(memory, _picture(pane, requests + again, failed + again, np.sum(recent, axis=0)))
        now = {s.operation for s in told.series if s.deviating and s.kind.value == "error_rate"} if told else set()
        alarms.update("service" if one is None else "operation" for one in now - before)
        before = now
    return alarms


def _picture(pane: int, requests: np.ndarray, failed: np.ndarray, window: np.ndarray) -> ServiceHealth:
    listed = [
        OperationHealth(operation=f"op{at}", kind="server", pane=red(int(n), errors=int(bad)), window=red(int(wide)))
        for at, (n, bad, wide) in enumerate(zip(requests, failed, window, strict=True))
        if wide
    ]
    whole = health("cart", pane, int(requests.sum()), errors=int(failed.sum()), edges=[edge("a", 50), edge("b", 50)])
    return whole.model_copy(update={"operations": listed})


def print_calm() -> None:
    """Print the alarms of quiet days."""
    for name, (habits, retries) in DAYS.items():
        found = sum((calm(seed, habits, retries) for seed in range(SEEDS)), Counter[str]())
        sys.stdout.write(f"{name}: {SEEDS} service days, {dict(found)}\n")
        sys.stdout.flush()


def print_cost() -> None:
    """Print milliseconds of CPU and bytes of state for a pane, as the stage has it: decoded, judged, encoded."""
    for operations, failing in ((1, 0.0), (4, 0.0), (12, 0.0), (12, 0.02), (40, 0.02)):
        chance, took, state, fold = np.random.default_rng(1), list[float](), b"", JudgeFold()
        for pane in range(300):
            requests = chance.integers(5, 30, operations)
            raw = _picture(pane, requests, chance.binomial(requests, failing), 6 * requests).model_dump_json()
            start = time.process_time()
            state, told = fold.step(state or None, ServiceHealth.model_validate_json(raw))
            size = len(told.model_dump_json()) if told is not None else 0
            took.append(time.process_time() - start)
        cost = 1000 * statistics.median(took[150:])
        sys.stdout.write(
            f"{operations} operations, {failing:.0%} fail: {cost:.3f} ms, {len(state)} bytes of state, {size} told\n"
        )


if __name__ == "__main__":
    print_cost() if sys.argv[1] == "cost" else print_calm()
