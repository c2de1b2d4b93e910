"""The folds against the batch oracle: whatever the disorder, the partitions and the batches, the panes are equal."""

from __future__ import annotations

from dataclasses import replace

from batch_oracle import Pictures, edges_of, is_late, late_by_pane, operations_of
from hypothesis import given, settings
from hypothesis import strategies as st
from made_spans import START_NS, Arrival, RawRecord, records_of, telemetry, traces_payload

from schemas.losses import LossReason
from streams.contents import PaneContents, Samples
from streams.edges import EdgeFold
from streams.otlp import decode_spans
from streams.panes import PaneFold
from streams.partials import ServicePartial
from streams.progress import Progress, SourceClock
from streams.stubs import StubFold, decode_stubs
from streams.windows import SECOND_NS, WindowConfig

CONFIG = WindowConfig()
LONG_AFTER_NS = START_NS + 3600 * SECOND_NS
TENANT = "acme"


def latest(partials: list[ServicePartial]) -> dict[tuple[str, str, int, str], ServicePartial]:
    """Keep what a receiver would keep: the newest complete version of each source's partial."""
    held: dict[tuple[str, str, int, str], ServicePartial] = {}
    for partial in partials:
        key = (partial.service, partial.node_kind.value, partial.pane_start_ns, partial.source)
        if key not in held or partial.replaces(held[key]):
            held[key] = ServicePartial.decode(partial.encode())
    return held


def merged(partials: list[ServicePartial]) -> Pictures:
    """Merge the sources of each pane; nodes about which nothing is left to say are left out."""
    pictures: Pictures = {}
    for (service, kind, pane, _), partial in latest(partials).items():
        pictures.setdefault((service, kind, pane), PaneContents()).add(partial.contents)
    return {key: contents for key, contents in pictures.items() if not contents.is_empty}


def fold_panes(records: list[RawRecord], flush_every: int) -> list[ServicePartial]:
    """Run each partition through its own fold, flushing now and then, and close everything."""
    partials: list[ServicePartial] = []
    for partition in {record.partition for record in records}:
        source = f"otel.traces/{partition}"
        fold, clock = PaneFold(source, CONFIG), SourceClock(source)
        own = [record for record in records if record.partition == partition]
        for offset, record in enumerate(own):
            fold.step_spans(TENANT, decode_spans(traces_payload(record.spans)), record.at_ns, offset)
            clock.observe(record.at_ns)
            if offset % flush_every == 0:
                partials += fold.close_until(clock)
        clock.observe(LONG_AFTER_NS)
        partials += fold.close_until(clock)
        assert fold.lowest_needed_offset() is None
    return partials


def fold_edges(records: list[RawRecord], sources: int, flush_every: int) -> list[ServicePartial]:
    """Cut every partition into stubs for one edge fold, which is told the progress after each record."""
    names = [f"otel.traces/{partition}" for partition in range(sources)]
    stubs = {name: StubFold(name, 1, CONFIG) for name in names}
    edges = EdgeFold("telemetry.stubs/0", names, CONFIG)
    partials: list[ServicePartial] = []
    offset = 0
    for number, record in enumerate(records):
        name = names[record.partition]
        stubs[name].step(TENANT, decode_spans(traces_payload(record.spans)), record.at_ns, number)
        for sent in stubs[name].flush():
            edges.step(decode_stubs(sent.value), offset)
            offset += 1
        for other in names:  # a quiet partition ticks
            edges.step_progress(Progress(other, record.at_ns - (other != name)), offset)
            offset += 1
        if number % flush_every == 0:
            partials += edges.flush()
    for name in names:
        edges.step_progress(Progress(name, LONG_AFTER_NS), offset)
    partials += edges.flush()
    assert edges.lowest_needed_offset() is None
    return partials


def without_samples(pictures: Pictures) -> Pictures:
    """Drop the exemplars, of which the oracle says nothing."""
    for contents in pictures.values():
        contents.samples = Samples()
    return pictures


@given(arrivals=telemetry(), partitions=st.integers(1, 3), flush_every=st.integers(1, 5), data=st.data())
@settings(max_examples=60, deadline=None)
def test_panes_are_what_the_oracle_counts(
    arrivals: list[Arrival], partitions: int, flush_every: int, data: st.DataObject
) -> None:
    """However spans are spread over partitions and delayed, each is counted once, or late."""
    place = {(a.span.trace, a.span.span): data.draw(st.integers(0, partitions - 1)) for a in arrivals}
    found = without_samples(merged(fold_panes(records_of(arrivals, place), flush_every)))
    late = {(service, pane): c.late_items for (service, _, pane), c in found.items() if c.late_items}
    for contents in found.values():
        contents.late_items = 0
    assert {key: c for key, c in found.items() if not c.is_empty} == operations_of(arrivals, CONFIG)
    assert late == dict(late_by_pane(arrivals, CONFIG))


@given(arrivals=telemetry(), partitions=st.integers(1, 3), flush_every=st.integers(1, 5), data=st.data())
@settings(max_examples=120, deadline=None)
def test_edges_and_self_times_are_what_the_oracle_pairs(
    arrivals: list[Arrival], partitions: int, flush_every: int, data: st.DataObject
) -> None:
    """However the spans of a trace come in, each request is counted once and each self time is the same."""
    place = {(a.span.trace, a.span.span): data.draw(st.integers(0, partitions - 1)) for a in arrivals}
    found = merged(fold_edges(records_of(arrivals, place), partitions, flush_every))
    assert found == edges_of(arrivals, CONFIG)


@given(arrivals=telemetry(delays_s=st.integers(0, 40)), twice=st.data())
@settings(max_examples=60, deadline=None)
def test_spans_of_two_exporters_are_counted_once(arrivals: list[Arrival], twice: st.DataObject) -> None:
    """Some spans are told again, through another partition and a little later: requests are those of one telling."""
    again = [Arrival(a.span, a.at_ns + SECOND_NS) for a in arrivals if twice.draw(st.booleans())]
    once, other = records_of(arrivals), [replace(record, partition=1) for record in records_of(again)]
    both = sorted([*once, *other], key=lambda record: record.at_ns)
    found = merged([*fold_panes(both, 2), *fold_edges(both, 2, 2)])
    expected = merged([*fold_panes(once, 2), *fold_edges(once, 1, 2)])
    assert requests_of(found) == requests_of(expected)


def requests_of(pictures: Pictures) -> dict[tuple[object, ...], tuple[int, int, dict[int, int]]]:
    """Return requests, errors and durations of every operation that has any."""
    return {
        (*place, *operation): (tally.requests, tally.errors, {key: n for key, n in tally.latency.items() if n})
        for place, contents in pictures.items()
        for operation, tally in contents.operations.items()
        if tally.requests
    }


@given(arrivals=telemetry(delays_s=st.integers(0, 48)), other=st.data())
@settings(max_examples=50, deadline=None)
def test_disorder_within_lateness_changes_nothing(arrivals: list[Arrival], other: st.DataObject) -> None:
    """The same spans with other delays below the lateness give the same panes, exemplars included."""
    again = [
        Arrival(a.span, (a.span.end_ns // SECOND_NS + 1 + other.draw(st.integers(0, 48))) * SECOND_NS) for a in arrivals
    ]
    assert not any(is_late(a, CONFIG) for a in [*arrivals, *again])
    assert merged(fold_panes(records_of(arrivals), 3)) == merged(fold_panes(records_of(again), 1))


@given(arrivals=telemetry())
@settings(max_examples=50, deadline=None)
def test_every_span_is_counted_once_or_has_a_named_loss(arrivals: list[Arrival]) -> None:
    """Requests plus losses is the number of spans."""
    fold, clock = PaneFold("otel.traces/0", CONFIG), SourceClock("otel.traces/0")
    for offset, record in enumerate(records_of(arrivals)):
        fold.step_spans(TENANT, decode_spans(traces_payload(record.spans)), record.at_ns, offset)
        clock.observe(record.at_ns)
    partials = fold.close_until(clock)
    counted = sum(t.requests for p in partials for t in p.contents.operations.values())
    lost = sum(loss.count for loss in fold.drain_losses() if loss.reason is LossReason.LATE)
    assert counted + lost == len(arrivals)
