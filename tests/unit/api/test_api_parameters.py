"""Instants, text and cursors: what is taken, what is refused, and that nothing is lost on the way."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from api.cursors import Position, read_cursor, write_cursor
from api.parameters import MAX_INSTANT_NS, Instant, ServiceName, parse_instant_ns, rfc3339
from api.problems import Problem

instants = st.integers(min_value=0, max_value=MAX_INSTANT_NS - 1)


@pytest.mark.parametrize(
    ("text", "expected_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01T00:00:01.000000001Z", 1_000_000_001),
        ("1970-01-01t01:00:00+01:00", 0),
        ("1970-01-01 01:00:00 01:00", 0),
        ("1969-12-31T23:00:00.5-01:00", 500_000_000),
        ("2026-11-23T09:30:00Z", 1_795_426_200_000_000_000),
        ("1795426200000000000", 1_795_426_200_000_000_000),
        ("0", 0),
    ],
)
def test_an_instant_is_rfc_3339_or_nanoseconds(text: str, expected_ns: int) -> None:
    """A plus sign that was not percent-encoded (a space by then) still means the same."""
    assert parse_instant_ns(text) == expected_ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "-1",
        "1e18",
        "1.5",
        "9" * 19,
        "9" * 5000,
        "٣",
        "2026-11-23",
        "2026-11-23T09:30:00",
        "2026-02-30T00:00:00Z",
        "1969-12-31T23:59:59Z",
        "2200-01-01T00:00:00Z",
        "2026-11-23T09:30:00+99:99",
        "2026-11-23T25:30:00Z",
        "2026-11-23T09:30:00.1234567890Z",
        "0000-01-01T00:00:00Z",
        "2026-11-23T09:30:00Z\n",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """Nothing is guessed: no local times, no floats, no years that would overflow 64 bits."""
    with pytest.raises(ValueError, match=r"send|must|day|hour|range|offset"):
        parse_instant_ns(text)


@pytest.mark.parametrize("value", [True, None, 1.5, [], {}])
def test_only_text_and_integers_are_instants_in_json(value: object) -> None:
    """A JSON float has lost nanoseconds already."""
    with pytest.raises(ValidationError):
        TypeAdapter(Instant).validate_python(value)


@given(instants)
def test_text_of_an_instant_reads_back_to_the_millisecond(instant_ns: int) -> None:
    """What we print, we take."""
    assert parse_instant_ns(rfc3339(instant_ns)) == instant_ns // 1_000_000 * 1_000_000


@pytest.mark.parametrize("text", ["a\0b", "\ud800", ""])
def test_names_that_no_store_can_hold_are_refused(text: str) -> None:
    """NUL would fail in PostgreSQL."""
    with pytest.raises(ValidationError):
        TypeAdapter(ServiceName).validate_python(text)


@given(instants, st.text(st.characters(categories=["L", "N", "P"]), max_size=60))
def test_a_cursor_brings_back_its_position(at_ns: int, item_id: str) -> None:
    """Whatever the id holds."""
    assert read_cursor(write_cursor((at_ns, item_id), "filters"), "filters") == Position(at_ns, item_id)


def test_a_cursor_of_other_filters_is_refused() -> None:
    """It would skip or repeat items without a word."""
    cursor = write_cursor((5, "a"), ("open", None))
    with pytest.raises(Problem) as refused:
        read_cursor(cursor, ("resolved", None))
    assert refused.value.slug.status == 422


@pytest.mark.parametrize(
    "cursor", ["", "AAAA", "e30", "W10", "WzFd", "bnVsbA", "_" * 299, "WzEsMiwzXQ", "W1siYSJdLCJhIiwiYiJd"]
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    """Cursors come from clients: any text may arrive."""
    with pytest.raises(Problem):
        read_cursor(cursor, "filters")


@given(st.text(st.sampled_from("ABCDEFWz0123456789_-"), max_size=120))
def test_no_cursor_breaks_the_reader(cursor: str) -> None:
    """Either a position or a refusal."""
    with suppress(Problem):
        read_cursor(cursor, "filters")
