"""Panes of one source: what enters where, what is capped, what a restart does again and what not."""

from __future__ import annotations

from typing import Any

import pytest
from made_spans import CLIENT, INTERNAL, SERVER, START_NS, MadeSpan, traces_payload
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from schemas.keys import OVERFLOW_OPERATION, OVERFLOW_SERVICE
from schemas.losses import LossReason
from streams.otlp import decode_logs, decode_spans
from streams.panes import PaneFold
from streams.partials import ServicePartial
from streams.progress import Progress, SourceClock
from streams.windows import SECOND_NS, WindowConfig

CONFIG = WindowConfig()
SOURCE = "otel.traces/0"


def made(end_s: float = 1, **changes: Any) -> MadeSpan:
    """Return a span of 100 ms that ends so many seconds after the start."""
    end_ns = START_NS + round(end_s * SECOND_NS)
    fields: dict[str, Any] = {
        "service": "cart", "name": "GET /", "kind": SERVER, "trace": 7, "span": 1, "parent": 0,
        "start_ns": end_ns - SECOND_NS // 10, "end_ns": end_ns, **changes,
    }  # fmt: skip
    return MadeSpan(**fields)


class Run:
    """A fold, its clock and its offsets."""

    def __init__(self, config: WindowConfig = CONFIG, closed: Progress | None = None, offset: int = 0) -> None:
        self.fold = PaneFold(SOURCE, config, closed)
        self.clock = SourceClock(SOURCE)
        self.offset = offset

    def take(self, *spans: MadeSpan, at_s: float = 2) -> None:
        """Let spans arrive in one record."""
        at_ns = START_NS + round(at_s * SECOND_NS)
        self.fold.step_spans("acme", decode_spans(traces_payload(spans)), at_ns, self.offset)
        self.clock.observe(at_ns)
        self.offset += 1

    def until(self, seconds: float) -> list[ServicePartial]:
        """Let time pass and close what is over."""
        self.clock.observe(START_NS + round(seconds * SECOND_NS))
        return self.fold.close_until(self.clock)

    def losses(self) -> dict[LossReason, int]:
        """Return the losses of the tenant by reason."""
        return {loss.reason: loss.count for loss in self.fold.drain_losses()}


def requests(partials: list[ServicePartial]) -> list[tuple[int, str, int]]:
    """Return (pane number, service, requests)."""
    return [
        (
            (p.pane_start_ns - START_NS) // CONFIG.pane_ns,
            p.service,
            sum(t.requests for t in p.contents.operations.values()),
        )
        for p in partials
    ]


def test_a_span_is_in_the_pane_of_its_end() -> None:
    """Panes are half-open: 10.0 s is the second one."""
    run = Run()
    run.take(made(9.999), made(10.0, span=2), made(19.9, span=3), at_s=21)
    assert requests(run.fold.flush()) == [(0, "cart", 1), (1, "cart", 2)]


def test_a_flush_tells_only_what_changed_and_tells_it_whole() -> None:
    """Partials are cumulative, with the offsets they rest on."""
    run = Run()
    run.take(made())
    run.take(made(span=2), made(span=3, service="pay"))
    assert requests(run.fold.flush()) == [(0, "cart", 2), (0, "pay", 1)]
    assert run.fold.flush() == []
    run.take(made(span=4))
    (partial,) = run.fold.flush()
    assert requests([partial]) == [(0, "cart", 3)]
    assert (partial.first_offset, partial.last_offset) == (0, 2)


def test_a_late_span_is_booked_on_the_pane_it_arrived_in() -> None:
    """70 s after the start, the pane of second 1 has closed."""
    run = Run()
    run.take(made(), at_s=70)
    (partial,) = run.fold.flush()
    assert requests([partial]) == [(7, "cart", 0)]
    assert partial.contents.late_items == 1
    assert run.losses() == {LossReason.LATE: 1}


@pytest.mark.parametrize("end_s", [-24 * 3600 - 10, 700])
def test_a_span_of_another_time_is_in_no_window(end_s: float) -> None:
    """More than a day old or ten minutes ahead."""
    run = Run()
    run.take(made(end_s))
    assert run.fold.flush() == []
    assert run.losses() == {LossReason.OUT_OF_RANGE: 1}


def test_a_span_without_a_start_is_in_no_window() -> None:
    """Else it would have lasted since 1970."""
    run = Run()
    run.take(made(start_ns=0))
    assert run.fold.flush() == []
    assert run.losses() == {LossReason.OUT_OF_RANGE: 1}


def test_a_span_that_ends_before_it_starts_counts_without_a_duration() -> None:
    """It was a request."""
    run = Run()
    run.take(made(start_ns=START_NS + 3 * SECOND_NS))
    (partial,) = run.fold.flush()
    assert requests([partial]) == [(0, "cart", 1)]
    assert partial.contents.operations["GET /", SERVER].latency == {}
    assert run.losses() == {LossReason.NEGATIVE_DURATION: 1}


def test_the_floor_is_the_first_record_of_an_open_pane() -> None:
    """It moves when the pane closes."""
    run = Run(offset=5)
    run.take(made())
    run.take(made(11, span=2), at_s=12)
    assert run.fold.lowest_needed_offset() == 5
    run.until(70)
    assert run.fold.lowest_needed_offset() == 6
    run.until(80)
    assert run.fold.lowest_needed_offset() is None


def test_after_a_restart_panes_that_had_closed_are_not_built_again() -> None:
    """They would be incomplete: what came before the floor is not read."""
    first = Run()
    first.take(made(1), made(11, span=2), at_s=12)
    first.until(75)
    floor = first.fold.lowest_needed_offset()
    assert floor == 0
    again = Run(closed=first.fold.closed())
    again.take(made(1), made(11, span=2), at_s=12)
    assert requests(again.fold.flush()) == [(1, "cart", 1)]
    assert again.losses() == {}
    assert again.fold.closed() == first.fold.closed()


def test_an_arrival_time_that_goes_back_does_not_open_a_closed_pane() -> None:
    """Producers set Kafka's timestamps unless the topic does; such an item is late."""
    run = Run()
    run.take(made(75), at_s=75)
    run.until(75)
    run.take(made(1, span=2), at_s=2)
    assert requests(run.fold.flush()) == []
    assert run.losses() == {LossReason.LATE: 1}


def test_operations_beyond_the_cap_go_to_overflow_with_their_status() -> None:
    """The first comers stay; entry operations have a cap of their own."""
    run = Run(WindowConfig(max_entry_operations=2, max_other_operations=1))
    for number, name in enumerate(("b", "a", "c", "d", "a")):
        run.take(made(name=name, span=number + 1, error=name == "d"))
    run.take(made(name="x", kind=INTERNAL, span=8), made(name="y", kind=CLIENT, span=9))
    (partial,) = run.fold.flush()
    found = {key: (tally.requests, tally.errors) for key, tally in partial.contents.operations.items()}
    assert found == {
        ("b", SERVER): (1, 0), ("a", SERVER): (2, 0), (OVERFLOW_OPERATION, SERVER): (2, 1),
        ("x", INTERNAL): (1, 0), (OVERFLOW_OPERATION, CLIENT): (1, 0),
    }  # fmt: skip
    assert run.losses() == {LossReason.OPERATION_OVERFLOW: 3}


def test_services_beyond_the_cap_go_to_one() -> None:
    """The tenant's totals stay right."""
    run = Run(WindowConfig(max_services=2))
    run.take(*(made(service=f"s{n}", span=n + 1) for n in range(5)))
    assert requests(run.fold.flush()) == [(0, "s0", 1), (0, "s1", 1), (0, OVERFLOW_SERVICE, 3)]
    assert run.losses() == {LossReason.SERVICE_OVERFLOW: 3}


def test_tenants_beyond_the_cap_are_counted() -> None:
    """Memory is bounded."""
    fold = PaneFold(SOURCE, WindowConfig(max_tenants=1))
    columns = decode_spans(traces_payload([made()]))
    for offset, tenant in enumerate(("a", "b")):
        fold.step_spans(tenant, columns, START_NS + 2 * SECOND_NS, offset)
    assert [p.tenant for p in fold.flush()] == ["a"]
    assert [(loss.tenant, loss.reason) for loss in fold.drain_losses()] == [("b", LossReason.TENANT_OVERFLOW)]


def test_exemplars_are_the_slowest_the_failing_and_a_normal_one() -> None:
    """Of entry spans, of different traces."""
    run = Run()
    for trace, (duration_ms, error) in enumerate([(10, False), (90, False), (50, True), (70, False), (20, True)], 1):
        span = made(trace=trace, span=trace, error=error)
        run.take(MadeSpan(**{**span.__dict__, "start_ns": span.end_ns - duration_ms * 1_000_000}))
    run.take(made(trace=9, span=9, kind=INTERNAL, start_ns=START_NS))
    (partial,) = run.fold.flush()
    samples = partial.contents.samples
    assert [trace_id[-1] for _, trace_id in samples.slow] == [2, 4]
    assert [trace_id[-1] for _, trace_id in samples.failing] == [3, 5]
    assert [trace_id[-1] for _, trace_id in samples.normal] == [1]


def test_logs_are_counted_by_severity_in_the_pane_of_their_time() -> None:
    """A source of its own: the logs topic."""
    request = ExportLogsServiceRequest()
    records = request.resource_logs.add().scope_logs.add().log_records
    for number in (9, 17, 18, 0):
        records.add(severity_number=number, time_unix_nano=START_NS + SECOND_NS)  # type: ignore[arg-type]
    fold = PaneFold("otel.logs/0", CONFIG)
    fold.step_logs("acme", decode_logs(request.SerializeToString()), START_NS + 2 * SECOND_NS, 0)
    (partial,) = fold.flush()
    assert partial.contents.log_severities == {"info": 1, "error": 2, "unspecified": 1}
    assert (partial.service, partial.source) == ("unknown_service", "otel.logs/0")


def test_the_buffer_is_tallied_before_it_overflows() -> None:
    """A flood between two flushes does not grow memory."""
    run = Run(WindowConfig(max_pending=10))
    for number in range(50):
        run.take(made(span=number + 1), made(span=number + 100))
    assert requests(run.fold.flush()) == [(0, "cart", 100)]
