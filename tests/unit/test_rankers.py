"""Other people's rankings, on pictures where it is plain what they must say."""

from __future__ import annotations

import numpy as np
import pytest

from streams.otlp.columns import SpanColumns
from streams.rankers import RANKERS, MicroRank, Panel

PANES = 20
BEFORE, AFTER = slice(0, 10), slice(10, 20)
SERVICES = ["cart", "payments", "storefront"]
CALLS = {("storefront", "cart"): 100, ("storefront", "payments"): 100}
SECOND_NS = 1_000_000_000


def panel(**changed: tuple[str, float]) -> Panel:
    """Make calm windows in which one measure of one service is multiplied after the tenth pane."""
    measures = {name: np.full((3, PANES), 10.0) + np.arange(PANES) % 3 for name in ("p95_ms", "own_ms", "gap_ms")}
    for name, (service, factor) in changed.items():
        measures[name][SERVICES.index(service), AFTER] *= factor
    starts = np.arange(PANES, dtype=np.int64) * 10 * SECOND_NS
    return Panel(SERVICES, starts, **measures, error_rate=np.zeros((3, PANES)), calls=CALLS)


@pytest.mark.parametrize("name", ["largest p95 ratio", "N-sigma", "random walk"])
def test_a_service_whose_p95_grew_is_first(name: str) -> None:
    """What all of them are made for."""
    assert RANKERS[name](panel(p95_ms=("payments", 8.0)), BEFORE, AFTER)[0] == "payments"


@pytest.mark.parametrize("measure", ["own_ms", "gap_ms"])
def test_the_robust_scorer_listens_to_own_time_and_gap(measure: str) -> None:
    """A slow caller does not distract it: its p95 grew, its own time did not."""
    changed = panel(p95_ms=("storefront", 9.0), **{measure: ("cart", 3.0)})
    assert RANKERS["robust scorer"](changed, BEFORE, AFTER)[0] == "cart"


def test_a_service_that_was_never_measured_is_left_out() -> None:
    """NaN is no score."""
    empty = panel()
    empty.own_ms[0], empty.gap_ms[0], empty.p95_ms[0] = np.nan, np.nan, np.nan
    for name, ranker in RANKERS.items():
        if name != "random walk":
            assert "cart" not in ranker(empty, BEFORE, AFTER)


def trace(number: int, start_s: float, slow: bool) -> list[tuple[int, int, int, str, float, float]]:
    """Make a storefront request that calls cart, and every second one payments, which is the slow one."""
    calls = [("storefront", 0.5 if slow else 0.1), ("cart", 0.02)]
    calls += [("payments", 0.45 if slow else 0.05)] if number % 2 else []
    return [(number, place, min(place, 1) if place else 0, s, start_s, took) for place, (s, took) in enumerate(calls)]


def columns(rows: list[tuple[int, int, int, str, float, float]]) -> SpanColumns:
    """Put rows (trace, place, parent, service, start, duration) in the columns a decoder gives."""
    count = len(rows)
    names = [*SERVICES, "work"]
    zeros = {name: np.zeros(count, np.int32) for name in ("instance", "version", "peer")}
    bytes_ = {name: np.zeros(count, np.uint8) for name in ("peer_kind", "kind", "flags", "tier")}
    start_ns = np.array([int(row[4] * SECOND_NS) for row in rows], np.int64)
    return SpanColumns(
        trace_hi=np.array([row[0] + 1 for row in rows], np.uint64),
        trace_lo=np.zeros(count, np.uint64),
        span_id=np.array([row[1] + 1 for row in rows], np.uint64),
        parent_id=np.array([row[2] for row in rows], np.uint64),
        service=np.array([names.index(row[3]) for row in rows], np.int32),
        operation=np.full(count, 3, np.int32),
        error=np.zeros(count, np.bool_),
        start_ns=start_ns,
        end_ns=start_ns + np.array([int(row[5] * SECOND_NS) for row in rows], np.int64),
        person=np.zeros(count, np.uint64),
        names=names,
        **zeros,
        **bytes_,
    )


def test_microrank_names_what_slow_traces_have_in_common() -> None:
    """All slow traces went through payments, and only some of the others."""
    rank = MicroRank(100 * SECOND_NS)
    rows = [row for n in range(60) for row in trace(n, n, slow=False)]
    rows += [row for n in range(60, 120) for row in trace(n, 100 + n - 60, slow=bool(n % 2))]
    rank.step(columns(rows), np.arange(len(rows)))
    assert rank.ranking()[0] == "payments"


def test_microrank_names_nobody_when_nothing_is_slow() -> None:
    """Without an abnormal trace there is no spectrum."""
    rank = MicroRank(100 * SECOND_NS)
    rows = [row for n in range(60) for row in trace(n, 2.0 * n, slow=False)]
    rank.step(columns(rows), np.arange(len(rows)))
    assert rank.ranking() == []
    assert MicroRank(1).ranking() == []
