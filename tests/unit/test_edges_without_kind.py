"""Spans that nobody gave a kind: which side of a request they are is told by their place in the trace (ADR 36)."""

from __future__ import annotations

from made_edges import DB, KAFKA, Run, contents, edge, ms, requests_of, self_ms, span
from made_spans import (
    CLIENT,
    INTERNAL,
    SERVER,
    START_NS,
    UNSPECIFIED,
)

from streams.progress import Progress
from streams.windows import SECOND_NS


def test_a_span_without_a_kind_is_a_request_where_a_service_is_called() -> None:
    """As a root, and below a span of another service; its work inside the service is none."""
    found = contents(
        span("shop", "buy", UNSPECIFIED, 1, 0, 0, 100),
        span("shop", "think", UNSPECIFIED, 2, 1, 10, 20),
        span("pay", "charge", UNSPECIFIED, 3, 2, 12, 18, error=True),
    )
    assert requests_of(found, "shop", "buy") == {UNSPECIFIED: (-1, 0, []), SERVER: (1, 0, [100])}
    assert requests_of(found, "pay", "charge") == {UNSPECIFIED: (-1, -1, []), SERVER: (1, 1, [6])}
    assert self_ms(found, "shop", "buy", SERVER) == [89]  # what "think" does not cover: 90, within a bin
    assert edge(found, "pay").requests == 1
    assert edge(found, "pay").errors == 1


def test_a_span_without_a_kind_right_above_another_service_is_the_client_side() -> None:
    """So there is a gap; what lies further up, or above the same service only, is work inside."""
    found = contents(
        span("shop", "buy", UNSPECIFIED, 1, 0, 0, 100),
        span("shop", "think", UNSPECIFIED, 2, 1, 5, 60),
        span("shop", "call", UNSPECIFIED, 3, 2, 10, 50, error=True),
        span("pay", "charge", UNSPECIFIED, 4, 3, 20, 30),
    )
    assert requests_of(found, "shop", "call") == {UNSPECIFIED: (-1, -1, []), CLIENT: (1, 1, [40])}
    assert requests_of(found, "shop", "think") == {}
    paired = edge(found, "pay")
    assert (paired.requests, paired.paired, paired.errors) == (1, 1, 1)
    assert (ms(paired.client), ms(paired.gap)) == ([40], [30])
    assert self_ms(found, "shop", "buy", SERVER) == [60]
    assert ("call", UNSPECIFIED) not in found["shop"].operations or not self_ms(found, "shop", "call", UNSPECIFIED)


def test_a_root_without_a_kind_right_above_another_service_is_a_request_and_no_client() -> None:
    """It is where the users come in: its own work is no wait for another."""
    found = contents(
        span("shop", "buy", UNSPECIFIED, 1, 0, 0, 100),
        span("pay", "charge", UNSPECIFIED, 2, 1, 20, 30),
    )
    assert requests_of(found, "shop", "buy") == {UNSPECIFIED: (-1, 0, []), SERVER: (1, 0, [100])}
    assert (edge(found, "pay").paired, ms(edge(found, "pay").gap)) == (0, [])


def test_a_span_without_a_kind_whose_parent_never_came_may_be_anything() -> None:
    """What was called and what only works inside look the same then; so do spans that do say that they are inside."""
    found = contents(
        span("shop", "buy", UNSPECIFIED, 1, 99, 0, 100),
        span("shop", "cron", INTERNAL, 2, 0, 0, 100, trace=2),
    )
    assert requests_of(found, "shop", "buy") == requests_of(found, "shop", "cron") == {}
    assert not found["shop"].edges


def test_a_span_without_a_kind_that_names_a_database_is_the_client_side() -> None:
    """Nobody is below it to say so; the time is the database's and not the service's own."""
    found = contents(
        span("shop", "buy", UNSPECIFIED, 1, 0, 0, 100),
        span("shop", "find", UNSPECIFIED, 2, 1, 5, 60, peer=DB),
        span("shop", "SELECT", UNSPECIFIED, 3, 2, 10, 50, peer=DB, error=True),
    )
    assert requests_of(found, "shop", "SELECT") == {UNSPECIFIED: (-1, -1, []), CLIENT: (1, 1, [40])}
    assert requests_of(found, "shop", "buy") == {UNSPECIFIED: (-1, 0, []), SERVER: (1, 0, [100])}
    called = edge(found, "postgresql:shop")
    assert (called.requests, called.errors, called.virtual, ms(called.client)) == (1, 0, 1, [55]), "the outermost tells"
    assert self_ms(found, "shop", "buy", SERVER) == [45]


def test_what_else_a_span_without_a_kind_names_may_be_its_own_side() -> None:
    """Servers have addresses and queues, too: no edge is made of them."""
    found = contents(
        span("shop", "buy", UNSPECIFIED, 1, 0, 0, 100, peer=DB),
        span("shop", "route", UNSPECIFIED, 2, 1, 5, 60, peer=(("server.address", "shop.example"),)),
        span("shop", "take", UNSPECIFIED, 3, 1, 70, 80, peer=KAFKA),
    )
    assert set(found) == {"shop"}
    assert requests_of(found, "shop", "route") == requests_of(found, "shop", "take") == {}


def test_an_edge_to_a_database_that_its_parent_takes_back_is_taken_back_after_a_restart_too() -> None:
    """Before its parent came, such a span called the database; a fold that was killed may have said so."""
    run = Run()
    run.take(
        span("shop", "buy", UNSPECIFIED, 1, 0, 0, 100),
        span("pay", "charge", UNSPECIFIED, 2, 1, 20, 30, peer=DB),
    )
    run.fold.step_progress(Progress("otel.traces/0", START_NS + 21 * SECOND_NS), run.offset)
    told = {partial.service: partial.contents for partial in run.fold.flush()}
    assert requests_of(told, "pay", "charge") == {UNSPECIFIED: (-1, 0, []), SERVER: (1, 0, [10])}
    assert told["postgresql:shop"].is_empty
