"""Exemplars of a pane against a plain reading of what they are: sort everything, take the first."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from made_spans import INTERNAL, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

from streams.contents import Sample, Samples
from streams.otlp import decode_spans
from streams.panes import PaneFold
from streams.windows import WindowConfig

SPANS = st.lists(
    st.builds(
        MadeSpan,
        service=st.sampled_from(("cart", "pay")),
        name=st.just("op"),
        kind=st.sampled_from((SERVER, SERVER, INTERNAL)),
        trace=st.sampled_from((1, 2, 3, 1 << 64, (1 << 64) + 1, (1 << 128) - 1)),
        span=st.integers(1, 9),
        parent=st.just(0),
        start_ns=st.integers(0, 3).map(lambda step: START_NS - step * MS_NS),
        end_ns=st.just(START_NS),
        error=st.booleans(),
    ),
    min_size=1,
    max_size=12,
)


def expected(spans: list[MadeSpan]) -> Samples:
    """Return the slowest spans of the two slowest traces, and of the first traces by id with and without errors."""
    entries = [span for span in spans if span.kind == SERVER]
    by_duration = sorted(entries, key=lambda span: (span.start_ns, span.trace))
    by_id = sorted(entries, key=lambda span: (span.trace, span.start_ns))
    return Samples(
        slow=first_traces(by_duration, 2),
        failing=first_traces([span for span in by_id if span.error], 2),
        normal=first_traces([span for span in by_id if not span.error], 1),
    )


def first_traces(spans: list[MadeSpan], keep: int) -> list[Sample]:
    """Return the first span of each of the first traces."""
    found: dict[bytes, int] = {}
    for span in spans:
        found.setdefault(span.trace_id, span.end_ns - span.start_ns)
    return [(duration_ns, trace_id) for trace_id, duration_ns in found.items()][:keep]


@given(SPANS)
@settings(max_examples=200, deadline=None)
def test_exemplars_are_the_slowest_and_the_first_by_id(spans: list[MadeSpan]) -> None:
    """Ties included, and trace ids that differ in one half only."""
    fold = PaneFold("otel.traces/0", WindowConfig())
    fold.step_spans("acme", decode_spans(traces_payload(spans)), START_NS + MS_NS, 0)
    for partial in fold.flush():
        own = [span for span in spans if span.service == partial.service]
        assert partial.contents.samples == expected(own)
