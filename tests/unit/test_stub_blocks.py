"""Stubs: cut by trace, every span in exactly one block, a stretch that comes again is recognised."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spans import SERVER, START_NS, MadeSpan, traces_payload

from streams.mixing import trace_keys
from streams.otlp import SpanColumns, decode_spans
from streams.stubs import MAX_BLOCK_SPANS, Coverage, StubBlock, StubFold, decode_stubs
from streams.windows import WindowConfig

CONFIG = WindowConfig()


def spans(count: int, first: int = 0, traces: int = 1000) -> SpanColumns:
    """Return numbered server spans of some traces, of three services by turns."""
    numbers = range(first, first + count)
    made = [
        MadeSpan(f"s{n % 3}", f"op{n % 7}", SERVER, 1 + n % traces, 1 + n, 0, START_NS, START_NS + n) for n in numbers
    ]
    if count > 100:
        made.sort(key=lambda span: span.service)  # one resource a service
    return decode_spans(traces_payload(made))


def blocks(fold: StubFold) -> list[tuple[int, StubBlock]]:
    """Flush and read back."""
    return [(record.partition, decode_stubs(record.value)) for record in fold.flush()]


def test_the_spans_of_a_trace_go_to_one_partition_and_none_is_lost() -> None:
    """From two sources, in several records."""
    homes: dict[int, set[int]] = {}
    seen: list[int] = []
    for source in range(2):
        fold = StubFold(f"otel.traces/{source}", 4, CONFIG)
        for offset in range(5):
            fold.step("acme", spans(40, 200 * source + 40 * offset, traces=30), START_NS, offset)
        for partition, block in blocks(fold):
            seen += block.columns.span.tolist()
            for trace in block.columns.trace.tolist():
                homes.setdefault(trace, set()).add(partition)
    assert len(set(seen)) == len(seen) == 400
    assert len(homes) == 30
    assert all(len(places) == 1 for places in homes.values())


def test_two_tenants_with_the_same_trace_id_never_meet() -> None:
    """The key of a trace is its tenant's own."""
    ids = np.array([7], dtype=np.uint64)
    assert trace_keys("a", ids, ids) != trace_keys("b", ids, ids)


def test_names_times_and_arrivals_survive_the_wire() -> None:
    """Also where a block carries only some of the names."""
    fold = StubFold("otel.traces/0", 1, CONFIG)
    fold.step("acme", spans(3), START_NS + 1, 4, driven=True)
    fold.step("acme", spans(2, first=10), START_NS + 2, 9)
    ((_, block),) = blocks(fold)
    assert (block.tenant, block.source, block.driven) == ("acme", "otel.traces/0", True)
    assert (block.first_offset, block.last_offset) == (4, 9)
    columns = block.columns
    assert [block.names[s] for s in columns.service] == ["s0", "s1", "s2", "s1", "s2"]
    assert [block.names[s] for s in columns.operation] == ["op0", "op1", "op2", "op3", "op4"]
    assert columns.peer.tolist() == [-1] * 5
    assert (columns.end_ns - START_NS).tolist() == [0, 1, 2, 10, 11]
    assert columns.arrival_ns.tolist() == [START_NS + 1] * 3 + [START_NS + 2] * 2
    assert columns.offset.tolist() == [4, 4, 4, 9, 9]


def test_a_flush_is_what_holds_the_floor() -> None:
    """Until then the first offset is needed."""
    fold = StubFold("otel.traces/0", 1, CONFIG)
    assert fold.lowest_needed_offset() is None
    fold.step("acme", spans(0), START_NS, 3)
    fold.step("acme", spans(1), START_NS, 4)
    assert (fold.lowest_needed_offset(), fold.pending_spans) == (4, 1)
    fold.flush()
    assert (fold.lowest_needed_offset(), fold.pending_spans) == (None, 0)
    assert fold.flush() == []


def test_blocks_stay_below_the_limit_of_a_message_also_for_one_huge_record() -> None:
    """25,000 spans in one record become three parts, each taken once."""
    fold = StubFold("otel.traces/0", 1, CONFIG)
    fold.step("acme", spans(10), START_NS, 1)
    fold.step("acme", spans(25_000, first=10), START_NS, 2)
    fold.step("acme", spans(5, first=30_000), START_NS, 3)
    records = fold.flush()
    assert all(len(record.value) < 1_000_000 for record in records)
    found = [decode_stubs(record.value) for record in records]
    assert all(len(block.columns) <= MAX_BLOCK_SPANS for block in found)
    coverage = Coverage()
    assert sum(int(coverage.take(block).sum()) for block in found) == 25_015
    assert sum(int(coverage.take(block).sum()) for block in found) == 0


@given(
    cuts=st.lists(st.sets(st.integers(0, 19)), min_size=1, max_size=4),
    starts=st.lists(st.integers(0, 19), min_size=4, max_size=4),
)
@settings(max_examples=100, deadline=None)
def test_what_is_sent_again_is_taken_once_however_it_is_cut(cuts: list[set[int]], starts: list[int]) -> None:
    """Several lives of a worker read the log from some offset on, each flushing at other places."""
    records = [spans(3, first=3 * offset) if offset % 3 else spans(0) for offset in range(20)]
    coverage, taken = Coverage(), []
    for life, flushes in enumerate([*cuts, set()]):
        fold = StubFold("otel.traces/0", 1, CONFIG)
        first = 0 if life in (0, len(cuts)) else starts[life]
        for offset in range(first, 20):
            fold.step("acme", records[offset], START_NS, offset)
            if offset in flushes:
                taken += [block.columns.take(coverage.take(block)) for _, block in blocks(fold)]
        if life == len(cuts):
            taken += [block.columns.take(coverage.take(block)) for _, block in blocks(fold)]
    ends = sorted(end for columns in taken for end in (columns.end_ns - START_NS).tolist())
    assert ends == sorted(end for columns in records for end in (columns.end_ns - START_NS).tolist())


def test_contiguous_stretches_are_remembered_as_one() -> None:
    """Else a long life would remember every flush."""
    fold, coverage = StubFold("otel.traces/0", 1, CONFIG), Coverage()
    for offset in range(0, 400, 2):  # other tenants' records lie between
        fold.step("acme", spans(1, first=offset), START_NS, offset)
        for _, block in blocks(fold):
            coverage.take(block)
    assert coverage.stretches("otel.traces/0", "acme") == [(0, 398)]
