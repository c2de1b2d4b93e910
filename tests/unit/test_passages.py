"""Which nodes a trace passed through, where it failed first. A span is (service, kind, span, parent, start, end)."""

from __future__ import annotations

from typing import Any

from made_spans import CLIENT, INTERNAL, MS_NS, SERVER, START_NS, MadeSpan, traces_payload

from streams.contents import PassageTally
from streams.edges import EdgeFold
from streams.latency import value_of
from streams.otlp import decode_spans
from streams.passages import COARSE
from streams.progress import Progress
from streams.stubs import StubFold, decode_stubs
from streams.windows import SECOND_NS, WindowConfig

DB = (("db.system.name", "postgresql"), ("db.namespace", "shop"))
BANK = (("server.address", "bank.example"), ("server.port", "8443"))
Found = dict[tuple[str, float], dict[str, PassageTally]]


def span(service: str, kind: int, number: int, parent: int, start: int, end: int, **more: Any) -> MadeSpan:
    """Return a span of trace 1, unless told otherwise; times in milliseconds from the start of a pane."""
    times = START_NS + start * MS_NS, START_NS + end * MS_NS
    return MadeSpan(service, "op", kind, more.pop("trace", 1), number, parent, *times, **more)


def passages(*spans: MadeSpan, config: WindowConfig | None = None) -> Found:
    """Return what is said of each node in each pane (its start in seconds)."""
    config = config or WindowConfig()
    stubs, fold = StubFold("otel.traces/0", 1, config), EdgeFold("telemetry.stubs/0", ["otel.traces/0"], config)
    stubs.step("acme", decode_spans(traces_payload(spans)), START_NS + SECOND_NS, 0)
    for record in stubs.flush():
        fold.step(decode_stubs(record.value), 0)
    fold.step_progress(Progress("otel.traces/0", START_NS + 60 * SECOND_NS), 1)
    return {
        (partial.service, (partial.pane_start_ns - START_NS) / SECOND_NS): partial.contents.passages
        for partial in fold.flush()
        if partial.contents.passages
    }


def checkout(**more: Any) -> list[MadeSpan]:
    """Return a trace from front over checkout to pay."""
    return [
        span("front", SERVER, 1, 0, 0, 400),
        span("front", CLIENT, 2, 1, 10, 390),
        span("checkout", SERVER, 3, 2, 20, 380, error=more.get("checkout", False)),
        span("checkout", CLIENT, 4, 3, 30, 370, error=more.get("call", False)),
        span("pay", SERVER, 5, 4, 40, 360, error=more.get("pay", False)),
    ]


def counts(found: Found) -> dict[str, tuple[int, int, int]]:
    """Return traces, failing and origins of each node for the entry front."""
    return {node: (t["front"].traces, t["front"].failing, t["front"].origins) for (node, _), t in found.items()}


def test_a_trace_is_counted_once_at_each_service_it_passes() -> None:
    """However many spans it has there, with the duration of its root."""
    found = passages(*checkout())
    assert counts(found) == {"front": (1, 0, 0), "checkout": (1, 0, 0), "pay": (1, 0, 0)}
    ((place, traces),) = found["pay", 0]["front"].durations.items()
    low_ms, high_ms = (value_of(p << COARSE) / MS_NS for p in (place, place + 1))
    assert low_ms <= 400 < high_ms
    assert traces == 1


def test_a_trace_fails_first_where_its_deepest_failing_span_is() -> None:
    """The errors of its callers only follow."""
    found = passages(*checkout(pay=True, call=True, checkout=True))
    assert counts(found) == {"front": (1, 1, 0), "checkout": (1, 1, 0), "pay": (1, 1, 1)}


def test_a_call_that_fails_although_the_callee_is_content_is_the_callees() -> None:
    """Its answer came too late or was lost."""
    assert counts(passages(*checkout(call=True)))["pay"] == (1, 1, 1)


def test_a_failing_span_inside_a_service_is_that_services() -> None:
    """Also below a call that succeeded."""
    trace = [*checkout(checkout=True), span("checkout", INTERNAL, 6, 3, 21, 25, error=True)]
    assert counts(passages(*trace))["checkout"] == (1, 1, 1)


def test_a_failing_query_is_the_databases() -> None:
    """Virtual nodes are passed through, too; of several at the same depth the first to end counts."""
    trace = [
        *checkout(),
        span("pay", CLIENT, 6, 5, 50, 100, error=True, peer=DB),
        span("pay", CLIENT, 7, 5, 60, 90, peer=BANK),
        span("pay", CLIENT, 8, 5, 60, 300, error=True, peer=BANK),
    ]
    found = counts(passages(*trace))
    assert found["postgresql:shop"] == (1, 1, 1)
    assert found["bank.example:8443"] == (1, 1, 0)
    assert found["pay"] == (1, 1, 0)


def test_a_trace_is_counted_in_the_pane_of_its_root() -> None:
    """Its other spans may have ended before or after."""
    found = passages(
        span("front", SERVER, 1, 0, 9_000, 10_500),
        span("cart", SERVER, 2, 1, 9_100, 9_200),
        span("mail", SERVER, 3, 1, 10_400, 21_000),
    )
    assert {key: t["front"].traces for key, t in found.items()} == {
        ("front", 10.0): 1, ("cart", 10.0): 1, ("mail", 10.0): 1,
    }  # fmt: skip


def test_of_several_parentless_spans_the_one_that_names_no_parent_is_the_root() -> None:
    """Else the longest: a parent may be lost."""
    found = passages(span("cart", SERVER, 2, 99, 0, 900), span("front", SERVER, 1, 0, 0, 100))
    assert set(found["cart", 0]) == {"front"}
    found = passages(span("cart", SERVER, 2, 99, 0, 900), span("mail", SERVER, 3, 98, 0, 100))
    assert set(found["mail", 0]) == {"cart"}


def test_entries_beyond_the_cap_are_counted_together() -> None:
    """The traces are still counted at the node."""
    spans = [
        made
        for number in range(1, 5)
        for made in (
            span(f"front{number // 2}", SERVER, number * 10, 0, 0, 9, trace=number),
            span("cart", SERVER, number * 10 + 1, number * 10, 0, 9, trace=number),
        )
    ]
    found = passages(*spans, config=WindowConfig(max_edges=1))["cart", 0]
    assert {entry: tally.traces for entry, tally in found.items()} == {"front1": 2, "__overflow__": 2}
