"""Baselines under made traffic: stepping again changes nothing, calm traffic is calm, worse is never calmer."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.deviations import SeriesKind, ServiceDeviations
from schemas.health import ServiceHealth
from streams.baselines import BaselineFold
from tests.made_health import edge, health

panes = st.lists(
    st.tuples(
        st.integers(0, 40),
        st.floats(0.1, 5000, allow_nan=False),
        st.floats(0.0, 5000, allow_nan=False),
        st.floats(0, 1),
    ),
    min_size=1,
    max_size=40,
)


def pictures(values: list[tuple[int, float, float, float]]) -> list[ServiceHealth]:
    """Return a pane for each (requests, own time, gap, share of errors)."""
    return [
        health(
            "cart", number, requests, errors=int(requests * share), own_ms=own_ms,
            edges=[edge("shop", requests, gap_ms=gap_ms)] if requests else [],
        )
        for number, (requests, own_ms, gap_ms, share) in enumerate(values)
    ]  # fmt: skip


def of(deviations: ServiceDeviations | None) -> list[tuple[int, str, str, float]]:
    """Return what a record is about and measured: pane, series and value."""
    assert deviations is not None
    start_ns = deviations.pane_start_ns
    return [(start_ns, s.kind.value, s.edge_client or s.operation or "", s.value) for s in deviations.series]


def run(found: list[ServiceHealth], state: bytes | None = None) -> tuple[bytes | None, list[ServiceDeviations | None]]:
    """Step panes in order."""
    fold, told = BaselineFold(), []
    for one in found:
        state, deviations = fold.step(state, one)
        told.append(deviations)
    return state, told


@settings(max_examples=40, deadline=None)
@given(panes)
def test_a_replay_of_the_last_panes_tells_of_them_again_and_leaves_the_state(
    values: list[tuple[int, float, float, float]],
) -> None:
    """Whatever the traffic was. Error logs are left out: whether a service writes logs at all is known only later."""
    found = pictures(values)
    state, told = run(found)
    last = found[-6:]
    again_state, again = run(last, state)
    assert again_state == state
    assert [_without_logs(d) for d in again] == [_without_logs(d) for d in told[-6:]]


def _without_logs(deviations: ServiceDeviations | None) -> list[tuple[int, str, str, float]]:
    return sorted(row for row in of(deviations) if row[1] != SeriesKind.LOG_ERRORS)


@settings(max_examples=40, deadline=None)
@given(panes)
def test_scores_and_evidence_are_always_numbers_in_their_ranges(values: list[tuple[int, float, float, float]]) -> None:
    """Never NaN, never negative evidence, and an alarm always has a beginning."""
    _, told = run(pictures(values))
    for deviations in told:
        assert deviations is not None
        ServiceDeviations.model_validate_json(deviations.model_dump_json())
        for series in deviations.series:
            assert series.score == series.score
            assert 0 <= series.evidence <= 2
            assert series.since_ns is not None or not series.deviating


@settings(max_examples=20, deadline=None)
@given(st.floats(1, 200), st.integers(1, 200))
def test_constant_traffic_never_deviates(own_ms: float, requests: int) -> None:
    """Whatever its level."""
    found = [health("cart", pane, requests, own_ms=own_ms, edges=[edge("shop", requests)]) for pane in range(30)]
    _, told = run(found)
    assert not [s for d in told if d is not None for s in d.series if s.evidence > 0]
