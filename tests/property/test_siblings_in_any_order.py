"""Panes of instances that come again, late, or never: what is told does not depend on it, and memory is bounded."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.deviations import SeriesScore
from schemas.health import InstanceHealth, ServiceHealth
from streams.siblings import SiblingConfig, SiblingFold, SiblingMemory
from tests.made_health import health

FAST, SLOW = 4806, 5019
CONFIG = SiblingConfig(warm_up_s=(20, 10), founding_requests=3, max_instances=6, forget_s=200, max_told=3)
COUNTS = st.dictionaries(
    st.sampled_from([f"i{number}" for number in range(9)]),
    st.tuples(st.integers(0, 12), st.integers(0, 12), st.integers(0, 30)),
    max_size=6,
)
PANES = st.lists(COUNTS, min_size=1, max_size=40)


def picture(pane: int, counts: dict[str, tuple[int, int, int]], revision: int = 0) -> ServiceHealth:
    """Return a pane of instances with so many fast and slow requests, and failed ones."""
    instances = [
        InstanceHealth(instance=name, requests=fast + slow, errors=failed, durations={FAST: fast, SLOW: slow})
        for name, (fast, slow, failed) in counts.items()
        if fast + slow
    ]
    return health("cart", pane, revision=revision).model_copy(update={"instances": instances})


def step(state: bytes, one: ServiceHealth) -> tuple[bytes, list[SeriesScore]]:
    """Take a pane as the stage does: state in, state out."""
    memory = SiblingMemory.decode(state)
    told = SiblingFold(CONFIG).advance(memory, one, 50.0)
    return memory.encode(), told


@settings(max_examples=60, deadline=None)
@given(panes=PANES, cut=st.integers(0, 39), again=st.integers(1, 7))
def test_panes_that_come_again_after_a_crash_tell_the_same(
    panes: list[dict[str, tuple[int, int, int]]], cut: int, again: int
) -> None:
    """The last few panes are stepped twice: each says what it said, and those after them what they would have said."""
    state, told = b"", []
    for number, counts in enumerate(panes):
        state, said = step(state, picture(number, counts))
        told.append(said)
    state = b""
    for number in [*range(min(cut + 1, len(panes))), *range(max(0, cut - again + 1), len(panes))]:
        state, said = step(state, picture(number, panes[number]))
        assert said == told[number]


@settings(max_examples=60, deadline=None)
@given(panes=PANES, order=st.randoms(use_true_random=False))
def test_panes_in_any_order_keep_memory_bounded_and_shares_are_shares(
    panes: list[dict[str, tuple[int, int, int]]], order: object
) -> None:
    """Whatever comes, and whenever."""
    numbers = [number + shift for number in range(len(panes)) for shift in (0, 3)]
    order.shuffle(numbers)  # type: ignore[attr-defined]
    state = b""
    for number in numbers:
        state, told = step(state, picture(number, panes[number % len(panes)]))
        memory = SiblingMemory.decode(state)
        assert len(memory.names) <= CONFIG.max_instances
        assert len(memory.snapshots) <= CONFIG.kept_snapshots
        assert len(told) <= 2 * CONFIG.max_told
        for one in told:
            assert 0.0 <= one.value <= 1.0
            assert 0.0 <= one.median <= 1.0
            assert one.instance in memory.names
