"""A trace is drawn whole, whatever its spans say of their parents (BAD_INPUT 16)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from api.views.traces import TraceView, in_drawing_order
from schemas.queries import Trace, TraceSpan


def span(span_id: str, parent: str | None = None, start_ns: int = 0, **other: str) -> TraceSpan:
    """Make a span of 10 ns."""
    return TraceSpan(
        trace_id="t", span_id=span_id, parent_span_id=parent, service=other.get("service", "s"), name=span_id,
        kind=other.get("kind", "internal"), status=other.get("status", "unset"),
        start_ns=start_ns, end_ns=start_ns + 10, duration_ns=10,
    )  # fmt: skip


def drawn(*spans: TraceSpan) -> str:
    """Draw a trace on one line: depth and name of each span, ``?`` without its parent, ``@`` where a cycle was cut."""
    marks = {(False, False): "", (True, False): "?", (False, True): "@"}
    return " ".join(f"{s.depth}{s.name}{marks[s.parent_missing, s.parent_cycle]}" for s in in_drawing_order(spans))


def test_children_follow_their_parent_by_start() -> None:
    """In whatever order they came."""
    assert drawn(span("c", "a", 5), span("d", "b", 3), span("a", None, 0), span("b", "a", 2)) == "0a 1b 2d 1c"


def test_two_roots_are_both_drawn() -> None:
    """By start."""
    assert drawn(span("b", None, 7), span("a", None, 1)) == "0a 0b"


def test_a_span_without_its_parent_is_a_root_of_its_own() -> None:
    """And says so: the rest of the trace was sampled away, late, or cut off."""
    assert drawn(span("a", None, 1), span("x", "gone", 0), span("y", "x", 2)) == "0x? 1y 0a"


def test_a_span_that_is_its_own_parent_is_drawn_once() -> None:
    """As a root."""
    assert drawn(span("a", "a")) == "0a@"


def test_a_cycle_is_cut_at_its_earliest_span() -> None:
    """What hangs below it is drawn below it."""
    assert drawn(span("c", "b", 3), span("a", "c", 1), span("b", "a", 2), span("d", "b", 9)) == "0a@ 1b 2c 2d"


def test_spans_that_share_an_id_are_both_drawn() -> None:
    """As Zipkin clients do it: the server span has its caller's id, and the children are the server's."""
    client, server = span("x", None, 1, kind="client"), span("x", None, 2, kind="server")
    assert [(one.kind, one.depth) for one in in_drawing_order([client, server, span("y", "x", 3)])] == [
        ("client", 0),
        ("server", 0),
        ("internal", 1),
    ]


def test_a_trace_of_ten_thousand_levels_is_drawn() -> None:
    """Without recursion, here or in the JSON."""
    chain = [span(str(n), str(n - 1) if n else None, n) for n in range(10_000)]
    assert in_drawing_order(chain)[-1].depth == 9_999


@given(st.lists(st.tuples(st.integers(0, 9), st.none() | st.integers(0, 12), st.integers(0, 5)), max_size=14))
def test_every_span_is_drawn_exactly_once_and_after_its_parent(rows: list[tuple[int, int | None, int]]) -> None:
    """Whatever the ids."""
    spans = [span(str(own), None if parent is None else str(parent), start) for own, parent, start in rows]
    found = in_drawing_order(spans)
    assert sorted((s.span_id, s.start_ns) for s in found) == sorted((s.span_id, s.start_ns) for s in spans)
    for index, one in enumerate(found):
        above = [earlier.depth for earlier in found[:index]]
        assert one.depth == 0 or one.depth - 1 in above


def test_the_summary_counts_services_errors_and_roots() -> None:
    """Services by their number of spans."""
    spans = [span("a", None, 5, service="web"), span("b", "a", 6), span("c", "a", 7, status="error"), span("d", "?", 1)]
    view = TraceView.of(Trace(trace_id="t", spans=spans, truncated=True))
    assert (view.services, view.errors, view.roots, view.truncated) == (["s", "web"], 1, 2, True)
    assert (view.start_ns, view.duration_ns) == (1, 16)
