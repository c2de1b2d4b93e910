"""Edges and self time, case by case: who called whom, counted once, and where the time went.

Times are in milliseconds from the start of a pane; a span is ``(service, name, kind, span, parent, start, end)``.
"""

from __future__ import annotations

from made_edges import CONFIG, DB, KAFKA, Run, contents, edge, ms, self_ms, span, with_edges
from made_spans import (
    CLIENT,
    CONSUMER,
    INTERNAL,
    PRODUCER,
    SERVER,
    START_NS,
    traces_payload,
)

from schemas.health import NodeKind
from schemas.losses import LossReason
from streams.otlp import decode_spans
from streams.progress import Progress
from streams.stubs import decode_stubs
from streams.windows import SECOND_NS, WindowConfig


def test_a_client_and_a_server_span_are_one_request() -> None:
    """Both durations, the gap between them, an error of either side."""
    found = contents(
        span("front", "GET", CLIENT, 1, 0, 0, 100),
        span("cart", "/cart", SERVER, 2, 1, 20, 80, error=True),
    )
    assert list(found["cart"].edges) == [("front", "service", "request")]
    tally = edge(found, "cart")
    assert (tally.requests, tally.errors, tally.paired, tally.virtual, tally.expired) == (1, 1, 1, 0, 0)
    assert (ms(tally.client), ms(tally.server), ms(tally.gap)) == ([100], [60], [40])


def test_a_server_that_worked_longer_than_its_client_waited_leaves_no_gap() -> None:
    """A time-out: clamped at zero."""
    found = contents(span("front", "GET", CLIENT, 1, 0, 0, 50), span("cart", "/cart", SERVER, 2, 1, 10, 900))
    assert ms(edge(found, "cart").gap) == [0]


def test_a_root_server_span_is_called_by_the_client_node() -> None:
    """Nobody in front sends telemetry."""
    found = contents(span("front", "/", SERVER, 1, 0, 0, 100))
    assert list(found["front"].edges) == [("client", "client", "virtual")]
    assert (edge(found, "front").virtual, edge(found, "front").expired) == (1, 0)


def test_a_server_span_whose_parent_never_came_is_expired() -> None:
    """It was called by somebody; who is not known."""
    assert edge(contents(span("front", "/", SERVER, 1, 77, 0, 100)), "front").expired == 1


def test_a_call_to_a_database_goes_to_its_virtual_node() -> None:
    """The client's view is all there is."""
    found = contents(span("cart", "SELECT", CLIENT, 1, 0, 0, 10, peer=DB))
    assert list(found["postgresql:shop"].edges) == [("cart", "service", "database")]
    tally = edge(found, "postgresql:shop")
    assert (tally.requests, tally.virtual, ms(tally.client), tally.server) == (1, 1, [10], {})


def test_a_call_to_nowhere_goes_to_the_unknown_node() -> None:
    """No peer attributes, no server span: expired."""
    found = contents(span("cart", "GET", CLIENT, 1, 0, 0, 10))
    assert list(found["unknown"].edges) == [("cart", "service", "virtual")]
    assert edge(found, "unknown").expired == 1


def test_a_message_is_paired_with_its_consumer_and_the_gap_is_its_time_in_the_queue() -> None:
    """From the producer's end to the consumer's start."""
    found = contents(
        span("cart", "orders publish", PRODUCER, 1, 0, 0, 10, peer=KAFKA),
        span("mail", "orders process", CONSUMER, 2, 1, 510, 600, peer=KAFKA),
    )
    assert list(found["mail"].edges) == [("cart", "service", "messaging")]
    assert ms(edge(found, "mail").gap) == [499]  # the middle of the bin of 500
    assert "kafka:orders" not in found


def test_a_consumer_without_a_producer_reads_from_the_queue_node() -> None:
    """And a producer without a consumer writes to it."""
    found = contents(span("mail", "process", CONSUMER, 1, 9, 0, 10, peer=KAFKA))
    assert list(found["mail"].edges) == [("kafka:orders", "messaging", "messaging")]
    found = contents(span("cart", "publish", PRODUCER, 1, 0, 0, 10, peer=KAFKA))
    assert list(found["kafka:orders"].edges) == [("cart", "service", "messaging")]


def test_a_server_below_another_services_server_is_still_a_request() -> None:
    """The client library is not instrumented: who called is known, how long it waited is not."""
    found = contents(span("front", "/", SERVER, 1, 0, 0, 100), span("cart", "/cart", SERVER, 2, 1, 20, 80))
    assert list(found["cart"].edges) == [("front", "service", "request")]
    tally = edge(found, "cart")
    assert (tally.requests, tally.paired, tally.gap, ms(tally.server)) == (1, 0, {}, [60])


def test_one_client_span_over_two_server_spans_is_two_requests_and_one_wait() -> None:
    """A retry inside one client span."""
    found = contents(
        span("front", "GET", CLIENT, 1, 0, 0, 100),
        span("cart", "/cart", SERVER, 2, 1, 10, 40, error=True),
        span("cart", "/cart", SERVER, 3, 1, 50, 90),
    )
    tally = edge(found, "cart")
    assert (tally.requests, tally.errors, tally.paired) == (2, 1, 2)
    assert (ms(tally.client), ms(tally.server), ms(tally.gap)) == ([100], [30, 40], [30])


def test_nested_client_spans_are_one_call() -> None:
    """A database driver over a socket library: the one that names the database tells of it."""
    found = contents(
        span("cart", "SELECT", CLIENT, 1, 0, 0, 10, peer=DB),
        span("cart", "send", CLIENT, 2, 1, 2, 9, peer=(("server.address", "10.0.0.7"),)),
    )
    assert {name for name, contents in found.items() if contents.edges} == {"postgresql:shop"}
    found = contents(
        span("front", "search", CLIENT, 1, 0, 0, 10, peer=DB),
        span("front", "POST", CLIENT, 2, 1, 1, 9),
        span("cart", "/search", SERVER, 3, 2, 2, 8),
    )
    assert {node for node, said in found.items() if said.edges} == {"cart"}


def test_nested_server_spans_of_a_service_are_one_request() -> None:
    """A servlet filter and the framework both made one."""
    found = contents(span("front", "/", SERVER, 1, 0, 0, 100), span("front", "/", SERVER, 2, 1, 1, 99))
    assert edge(found, "front").requests == 1


def test_two_traces_with_the_same_span_ids_do_not_meet() -> None:
    """Span ids are only unique within their trace."""
    found = contents(
        span("front", "GET", CLIENT, 1, 0, 0, 100, trace=1), span("cart", "/cart", SERVER, 2, 1, 20, 80, trace=2)
    )
    assert edge(found, "cart").paired == 0


def test_a_span_that_is_its_own_parent_and_a_cycle_of_parents_do_no_harm() -> None:
    """Each still counts."""
    found = contents(
        span("front", "a", SERVER, 1, 1, 0, 10),
        span("cart", "b", INTERNAL, 2, 3, 0, 10),
        span("cart", "c", INTERNAL, 3, 2, 0, 10),
    )
    assert edge(found, "front").expired == 1
    assert sum(sum(t.self_time.values()) for t in found["cart"].operations.values()) == 2


def test_the_self_time_of_an_entry_span_is_what_its_calls_do_not_cover() -> None:
    """Overlapping calls count once, internal spans between do not matter, calls of others below do not."""
    found = contents(
        span("front", "/", SERVER, 1, 0, 0, 100),
        span("front", "controller", INTERNAL, 2, 1, 5, 95),
        span("front", "GET", CLIENT, 3, 2, 10, 40),
        span("front", "GET", CLIENT, 4, 2, 30, 60),
        span("cart", "/cart", SERVER, 5, 3, 15, 35),
        span("cart", "SELECT", CLIENT, 6, 5, 20, 30, peer=DB),
    )
    assert self_ms(found, "front", "/", SERVER) == [50]
    assert self_ms(found, "front", "controller", INTERNAL) == [40]
    assert self_ms(found, "cart", "/cart", SERVER) == [10]
    assert ("GET", CLIENT) not in found["front"].operations


def test_a_call_that_outlives_its_caller_counts_only_while_the_caller_ran() -> None:
    """Fire and forget."""
    found = contents(span("front", "/", SERVER, 1, 0, 0, 100), span("front", "GET", CLIENT, 2, 1, 90, 5000))
    assert self_ms(found, "front", "/", SERVER) == [89]  # the middle of the bin of 90


def test_a_half_edge_waits_for_its_other_half_before_anything_is_sent() -> None:
    """Until the pane's end and 10 s."""
    run = Run()
    run.take(span("front", "GET", CLIENT, 1, 0, 0, 100))
    assert run.until(19.9) == []
    run.take(span("cart", "/cart", SERVER, 2, 1, 20, 80), at_s=19.95)
    (partial,) = with_edges(run.until(20))
    assert (partial.service, partial.contents.edges["front", "service", "request"].paired) == ("cart", 1)


def test_a_late_half_moves_the_request_and_takes_back_what_was_said() -> None:
    """First to the database's virtual node, then, as the database turns out to be instrumented, to it."""
    run = Run()
    run.take(span("cart", "SELECT", CLIENT, 1, 0, 0, 100, peer=DB))
    (first,) = with_edges(run.until(20))
    assert (first.service, first.node_kind) == ("postgresql:shop", NodeKind.DATABASE)
    run.take(span("db", "query", SERVER, 2, 1, 20, 80), at_s=25)
    run.fold.step_progress(Progress("otel.traces/0", START_NS + 31 * SECOND_NS), run.offset)
    second = {partial.service: partial for partial in run.fold.flush()}
    assert second["postgresql:shop"].contents.is_empty
    assert second["postgresql:shop"].replaces(first)
    assert list(second["db"].contents.edges) == [("cart", "service", "database")]


def test_a_block_that_comes_again_is_ignored() -> None:
    """As after a restart of the sender."""
    run = Run()
    run.cutter.step("acme", decode_spans(traces_payload([span("front", "/", SERVER, 1, 0, 0, 9)])), START_NS, 0)
    (record,) = run.cutter.flush()
    for offset in range(2):
        run.fold.step(decode_stubs(record.value), offset)
    run.offset = 2
    (partial,) = run.until(20)
    assert partial.contents.edges["client", "client", "virtual"].requests == 1
    run.until(100)
    assert run.fold.drain_losses() == []


def test_the_same_span_from_two_exporters_is_counted_once_and_said() -> None:
    """Another source, another record, the same ids."""
    run = Run()
    run.take(span("front", "/", SERVER, 1, 0, 0, 9))
    run.take(span("front", "/", SERVER, 1, 0, 0, 9), at_s=2)
    (partial,) = run.until(20)
    assert partial.contents.edges["client", "client", "virtual"].requests == 1
    run.until(100)
    assert [(loss.reason, loss.count) for loss in run.fold.drain_losses()] == [(LossReason.DUPLICATE, 1)]


def test_what_two_exporters_told_is_taken_back_from_the_operation() -> None:
    """Each source counts by itself; the requests, errors and durations of the second telling are counted below zero."""
    run = Run()
    for at_s in (1, 2, 3):
        run.take(span("front", "/", SERVER, 1, 0, 0, 9, error=True), at_s=at_s)
    (partial,) = run.until(20)
    tally = partial.contents.operations["/", SERVER]
    assert (tally.requests, tally.errors, list(tally.latency.values())) == (-2, -2, [-2])


def test_a_client_and_a_server_that_share_a_span_id_are_two_requests() -> None:
    """As Zipkin has it: nothing is taken back from either, but the key stands for one of them only."""
    run = Run()
    run.take(span("front", "GET", CLIENT, 1, 0, 0, 9))
    run.take(span("cart", "/cart", SERVER, 1, 0, 1, 8))
    taken = [tally.requests for partial in run.until(20) for tally in partial.contents.operations.values()]
    assert all(requests == 0 for requests in taken)
    run.until(100)
    assert [loss.reason for loss in run.fold.drain_losses()] == [LossReason.DUPLICATE]


def test_the_floor_is_held_by_open_panes_and_by_orphans_for_a_while() -> None:
    """A span whose parent is still to come keeps its record needed; not for ever."""
    run = Run()
    run.take(span("front", "/", SERVER, 1, 0, 0, 9))
    run.take(span("cart", "/", SERVER, 2, 99, 0, 9, trace=2))
    run.until(79)
    assert run.fold.lowest_needed_offset() == 0
    run.until(80)
    assert run.fold.lowest_needed_offset() == 1
    run.until(80 + CONFIG.reach_ns / SECOND_NS)
    assert run.fold.lowest_needed_offset() is None


def test_a_full_buffer_refuses_with_a_count() -> None:
    """Memory is bounded; what is refused is said."""
    run = Run(WindowConfig(max_stubs=3))
    run.take(*(span("front", "/", SERVER, n, 0, 0, 9) for n in range(1, 4)))
    run.take(span("front", "/", SERVER, 9, 0, 0, 9))
    assert [(loss.reason, loss.count) for loss in run.fold.drain_losses()] == [(LossReason.STUB_OVERFLOW, 1)]


def test_edges_and_operations_beyond_the_caps_are_summed_up() -> None:
    """The largest stay; the rest keep their counts under __overflow__."""
    run = Run(WindowConfig(max_edges=2, max_entry_operations=2))
    for caller in range(4):
        for trace in range(4 - caller):
            number = 100 * caller + 10 * trace + 1
            run.take(
                span(f"c{caller}", "GET", CLIENT, number, 0, 0, 9, trace=number),
                span("cart", f"op{caller}", SERVER, number + 1, number, 0, 9, trace=number),
            )
    (partial,) = (p for p in run.until(20) if p.service == "cart")
    edges = {client: tally.requests for (client, _, _), tally in partial.contents.edges.items()}
    assert edges == {"c0": 4, "c1": 3, "__overflow__": 3}
    operations = {name: sum(t.self_time.values()) for (name, _), t in partial.contents.operations.items()}
    assert operations == {"op0": 4, "op1": 3, "__overflow__": 3}
    run.until(100)
    counts = {loss.reason: loss.count for loss in run.fold.drain_losses()}
    assert counts == {LossReason.EDGE_OVERFLOW: 3, LossReason.OPERATION_OVERFLOW: 3}


def test_a_replayed_tenant_is_paired_by_its_own_clock() -> None:
    """Wall time alone closes nothing of it."""
    run = Run()
    run.take(span("front", "/", SERVER, 1, 0, 0, 9), driven=True)
    assert run.until(5000) == []
    driven = {"acme": START_NS + 20 * SECOND_NS}
    run.fold.step_progress(Progress("otel.traces/0", START_NS + 5000 * SECOND_NS, driven), run.offset)
    (partial,) = run.fold.flush()
    assert partial.driven
    assert run.fold.progress().driven == {"acme": START_NS + 10 * SECOND_NS}
