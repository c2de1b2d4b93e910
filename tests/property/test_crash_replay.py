"""A worker that is killed anywhere, any number of times, leaves the panes of an undisturbed run."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from log_chain import Chain
from made_spans import Arrival, records_of, telemetry

from streams.windows import WindowConfig

CONFIG = WindowConfig()


Pictures = dict[tuple[str, int], dict[str, Any]]


def told(pictures: Pictures) -> Pictures:
    """Leave out the blank pictures of virtual nodes, and of a service those before its first: what is taken back
    leaves one, for somebody may have been told before the worker was killed.
    """
    seen = [(service, start_ns) for (service, start_ns), picture in pictures.items() if not is_blank(picture)]
    first_ns = dict(sorted(seen, reverse=True))
    return {
        (service, start_ns): picture
        for (service, start_ns), picture in pictures.items()
        if not is_blank(picture) or (picture["node_kind"] == "service" and start_ns > first_ns.get(service, start_ns))
    }


def is_blank(picture: dict[str, Any]) -> bool:
    """Tell whether a picture's window is empty."""
    held = ("operations", "edges_in", "log_severities_window", "passages", "signatures", "late_items")
    return not picture["window"]["requests"] and not any(picture[name] for name in held)


def differences(found: Pictures, expected: Pictures) -> dict[tuple[str, int], Any]:
    """Return the fields that differ, as (found, expected), or which side has the picture at all."""
    differing: dict[tuple[str, int], Any] = dict.fromkeys(found.keys() - expected.keys(), "extra")
    differing |= dict.fromkeys(expected.keys() - found.keys(), "missing")
    for key in found.keys() & expected.keys():
        fields = {f: (found[key][f], value) for f, value in expected[key].items() if found[key][f] != value}
        if fields:
            differing[key] = fields
    return differing


@st.composite
def placed(draw: st.DrawFn) -> tuple[list[Arrival], dict[tuple[int, int], int], int]:
    """Draw telemetry, a number of partitions, and a partition for each span."""
    arrivals = draw(telemetry())
    partitions = draw(st.integers(1, 2))
    return arrivals, {(a.span.trace, a.span.span): draw(st.integers(0, partitions - 1)) for a in arrivals}, partitions


Step = tuple[str, int, int]
STEPS = st.tuples(
    st.sampled_from(("read_raw", "read_stubs", "read_rollups", "flush_raw", "flush_stubs", "flush_rollups", "commit")),
    st.integers(0, 1),
    st.integers(1, 30),
)


@given(placed=placed(), lives=st.lists(st.lists(STEPS, max_size=30), max_size=4), sizes=st.integers(1, 50))
@settings(max_examples=40, deadline=None)
def test_any_kills_leave_the_panes_of_an_undisturbed_run(
    placed: tuple[list[Arrival], dict[tuple[int, int], int], int], lives: list[list[Step]], sizes: int
) -> None:
    """Each life takes some steps in some order, commits or not, and is killed; the last one finishes the work."""
    arrivals, place, partitions = placed
    records = records_of(arrivals, place)
    expected = Chain(records, partitions, CONFIG).finish()
    chain = Chain(records, partitions, CONFIG)
    for steps in lives:
        for name, p, count in steps:
            if name.startswith("read"):
                getattr(chain.worker, name)(p % partitions, count)
            else:
                getattr(chain.worker, name)(p % partitions)
        chain.kill()
    for _ in range(3):
        chain.worker.turn(sizes)
        chain.kill()
    assert differences(told(chain.finish()), told(expected)) == {}
