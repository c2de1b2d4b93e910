"""Operation names: what names one request is replaced, well-named spans keep their names."""

from __future__ import annotations

import pytest
from made_spans import SERVER, START_NS, MadeSpan, traces_payload

from schemas.losses import LossReason
from streams.operation_names import merged_names, normalise, normalise_operations
from streams.otlp import decode_spans
from streams.panes import PaneFold
from streams.windows import WindowConfig
from topologies.operation_names import show_merges


@pytest.mark.parametrize(
    ("name", "operation"),
    [
        ("GET /users/42", "GET /users/{id}"),
        ("GET /users/42/orders/550e8400-e29b-41d4-a716-446655440000", "GET /users/{id}/orders/{id}"),
        ("GET /carts/5f1c0e9a7b3d2c46?at=7", "GET /carts/{id}"),
        ("PUT /files/report-2026-11-25-0007", "PUT /files/{id}"),
        ("process order 4711", "process order {n}"),
        ("job 550e8400-e29b-41d4-a716-446655440000 done", "job {id} done"),
        ("SELECT * FROM orders WHERE id = 42 AND name = 'O''Hara'", "SELECT * FROM orders WHERE id = ? AND name = ?"),
        ("select 1 from t2 where a in (1, 2, 3)", "select ? from t2 where a in (?)"),
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b')", "INSERT INTO t VALUES (?)"),
    ],
)
def test_what_names_one_request_is_replaced(name: str, operation: str) -> None:
    """And the result stays as it is."""
    assert normalise(name) == operation
    assert normalise(operation) == operation


@pytest.mark.parametrize(
    "name",
    ["GET /api/v1/users/{id}", "POST /oauth2/token", "GET /s3/bucket", "hipstershop.CartService/GetCart", "HTTP GET",
     "SELECT orders", "step 2 of 5", "orders process", "GET /k8s/healthz", "QueryTop10", ""],
)  # fmt: skip
def test_a_well_named_span_keeps_its_name(name: str) -> None:
    """A digit alone makes no identifier."""
    assert normalise(name) == name


def test_columns_are_renamed_once_per_name() -> None:
    """Names that become equal share a place; those of services and instances are left alone."""
    spans = [
        MadeSpan("user/42", name, SERVER, 1, number, 0, START_NS, START_NS + 1)
        for number, name in enumerate(("GET /users/42", "GET /users/43", "GET /", "GET /users/{id}"), 1)
    ]
    columns = normalise_operations(decode_spans(traces_payload(spans)))
    assert [columns.names[at] for at in columns.operation] == ["GET /users/{id}"] * 2 + ["GET /", "GET /users/{id}"]
    assert {columns.names[at] for at in columns.service} == {"user/42"}
    assert len(set(columns.operation.tolist())) == 2


def test_the_dry_run_tells_what_would_be_merged_and_nothing_else() -> None:
    """With the spans of each name."""
    found = merged_names({"GET /users/42": 3, "GET /users/43": 1, "GET /": 9})
    assert found == {"GET /users/{id}": {"GET /users/42": 3, "GET /users/43": 1}}


@pytest.mark.parametrize(("normalises", "overflowed"), [(True, 0), (False, 6)])
def test_names_with_ids_do_not_use_up_the_operations_of_a_service(normalises: bool, overflowed: int) -> None:
    """The names are made equal before operations are capped; an operator may want them as they are sent."""
    spans = [
        MadeSpan("cart", f"GET /users/{number}", SERVER, 1, number, 0, START_NS, START_NS + 1)
        for number in range(1, 11)
    ]
    fold = PaneFold("otel.traces/0", WindowConfig(normalises_operations=normalises, max_entry_operations=4))
    fold.step_spans("acme", decode_spans(traces_payload(spans)), START_NS + 1, 0)
    (partial,) = fold.flush()
    assert sum(tally.requests for tally in partial.contents.operations.values()) == 10
    lost = sum(loss.count for loss in fold.drain_losses() if loss.reason is LossReason.OPERATION_OVERFLOW)
    assert lost == overflowed


def test_the_dry_run_is_readable() -> None:
    """Most names first, and what it comes to."""
    lines: list[str] = []
    show_merges({f"GET /users/{number}": number for number in range(1, 6)} | {"GET /": 9}, lines.append)
    assert lines[0] == "GET /users/{id}   5 names, 15 spans"
    assert lines[1:4] == ["    GET /users/5", "    GET /users/4", "    GET /users/3"]
    assert lines[-1] == "6 span names, 2 operations"
