"""What parameters may be: instants, identifiers, names and page sizes, each with its limits, and no others.

An instant is RFC 3339 text or Unix nanoseconds and arrives as integer nanoseconds.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final, get_origin

from fastapi import Path, Query, Request
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema

from api.problems import FieldError, Problem, Slug

MAX_INSTANT_NS: Final = 7_258_118_400 * 1_000_000_000
"""The year 2200: later instants would leave 64 bits in arithmetic and ClickHouse's range."""

_RFC3339: Final = re.compile(
    # A "+" that was not percent-encoded in a query string arrives as a space.
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?([Zz]|[+\- ]\d\d:\d\d)",
    re.ASCII,
)


def parse_instant_ns(text: object) -> int:
    """Return Unix nanoseconds of ``text``: RFC 3339 with an offset, or decimal nanoseconds in [0, year 2200).

    Raises `ValueError`, which names what is taken.
    """
    if isinstance(text, bool) or not isinstance(text, str | int):
        raise ValueError("send RFC 3339 text or integer Unix nanoseconds")
    found_ns = int(text) if isinstance(text, int) or re.fullmatch(r"\d{1,19}", text, re.ASCII) else _rfc3339_ns(text)
    if not 0 <= found_ns < MAX_INSTANT_NS:
        raise ValueError("the instant must lie between the years 1970 and 2200")
    return found_ns


def _rfc3339_ns(text: str) -> int:
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("send RFC 3339 text with an offset (2026-11-23T09:30:00Z) or integer Unix nanoseconds")
    date, time, fraction, offset = match.groups()
    zone = "+00:00" if offset in "Zz" else offset.replace(" ", "+")
    seconds = (datetime.fromisoformat(f"{date}T{time}{zone}") - _EPOCH) // timedelta(seconds=1)
    return seconds * 1_000_000_000 + int((fraction or "0").ljust(9, "0"))


_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def rfc3339(instant_ns: int) -> str:
    """Return an instant as people read it: RFC 3339 in UTC, to the millisecond."""
    text = (_EPOCH + timedelta(milliseconds=instant_ns // 1_000_000)).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _clean_text(text: str) -> str:
    if any(ord(char) < 32 or ord(char) == 127 or 0xD800 <= ord(char) < 0xE000 for char in text):
        raise ValueError("control characters and lone surrogates are not allowed")
    return text


CLEAN_TEXT: Final = AfterValidator(_clean_text)
"""Refuse control characters in what people write down. Names of telemetry are asked for as they are: see `ANY_NAME`."""


def _any_name(text: str) -> str:
    if any(char == "\0" or 0xD800 <= ord(char) < 0xE000 for char in text):
        raise ValueError("NUL and lone surrogates are not allowed")
    return text


ANY_NAME: Final = AfterValidator(_any_name)
"""Take what telemetry calls things, percent-encoded; without NUL, which PostgreSQL cannot hold."""

Instant = Annotated[
    int,
    BeforeValidator(parse_instant_ns),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "format": "date-time"},
                {"type": "integer", "minimum": 0, "exclusiveMaximum": MAX_INSTANT_NS},
            ],
            "examples": ["2026-11-23T09:30:00Z", 1795426200000000000],
        }
    ),
]

PageLimit = Annotated[int, Query(ge=1, le=200, description="At most this many items.", examples=[50])]
Cursor = Annotated[
    str | None,
    Query(
        max_length=300,
        pattern=r"^[A-Za-z0-9_-]+$",
        description="`next_cursor` of the page before; the filters must be the same.",
    ),
]
ServiceName = Annotated[
    str,
    Path(max_length=256, min_length=1, description="Name of a service or virtual node.", examples=["checkout"]),
    ANY_NAME,
]
ServiceFilter = Annotated[
    str | None, Query(max_length=256, min_length=1, description="Only this service.", examples=["checkout"]), ANY_NAME
]
IncidentId = Annotated[
    str,
    Path(max_length=128, pattern=r"^[A-Za-z0-9._:-]+$", description="Id of an incident.", examples=["inc-7d1f0c52"]),
]
TraceId = Annotated[
    str,
    Path(pattern=r"^[0-9A-Fa-f]{32}$", description="32 hex digits.", examples=["0af7651916cd43dd8448eb211c80319c"]),
]


def check_span(start_ns: int | None, end_ns: int | None, start: str, end: str) -> None:
    """Refuse a span of time that ends before it starts. Raises `Problem` (422) that names both parameters."""
    if start_ns is not None and end_ns is not None and start_ns >= end_ns:
        detail = f"`{start}` must be before `{end}`."
        raise Problem(Slug.INVALID, detail, errors=[FieldError(where=f"query.{start}", detail=detail)])


def known_parameters_only(request: Request) -> None:
    """Refuse a query parameter that this route does not have, and a second value where it takes one.

    A misspelt filter that is ignored answers another question than was asked.
    """
    known = _parameters_of(request.scope)
    wrong = [
        FieldError(where=f"query.{name[:64]}", detail="There is no such parameter.")
        for name in dict.fromkeys(request.query_params.keys())
        if name not in known
    ] + [
        FieldError(where=f"query.{name}", detail="This parameter takes one value.")
        for name, many in known.items()
        if not many and len(request.query_params.getlist(name)) > 1
    ]
    if wrong:
        names = ", ".join(sorted(known)) or "none"
        raise Problem(Slug.INVALID, f"Query parameters of this path: {names}.", errors=wrong[:20])


def _parameters_of(scope: Any) -> dict[str, bool]:
    """Return the query parameters of the matched route, and whether each may be repeated."""
    found: dict[str, bool] = {}
    waiting = [scope["route"].dependant]
    while waiting:
        dependant = waiting.pop()
        waiting.extend(dependant.dependencies)
        found |= {field.alias: _is_list(field.field_info.annotation) for field in dependant.query_params}
    return found


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list
