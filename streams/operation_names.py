"""Span names that name one request made to name an operation: ``GET /users/42`` becomes ``GET /users/{id}``.

OpenTelemetry asks for span names of low cardinality (specification, "Span: Name"); not all instrumentation heeds it.
Only what cannot be a word of a name is replaced, so well-named spans keep their names. A pure function of the name,
applied once per distinct name and before operations are capped; stored spans keep what was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache

import numpy as np

from streams.otlp.columns import SpanColumns

REMEMBERED_NAMES = 65_536

_SQL = re.compile(r"^\s*(?:select|insert|update|delete|merge|replace|with|call|exec(?:ute)?)\s", re.IGNORECASE)
_SQL_TEXT = re.compile(r"'(?:[^']|'')*'")
_SQL_NUMBER = re.compile(r"(?<![\w.$])[+-]?\d+(?:\.\d+)?(?![\w.])")
_SQL_LIST = re.compile(r"\(\s*\?(?:\s*,\s*\?)+\s*\)")
_SQL_ROWS = re.compile(r"\(\?\)(?:\s*,\s*\(\?\))+")

_UUID = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_HEX = re.compile(r"(?<![0-9A-Za-z])(?=[a-fA-F]*\d)(?=\d*[a-fA-F])[0-9a-fA-F]{8,}(?![0-9A-Za-z])")
_NUMBER = re.compile(r"(?<![0-9A-Za-z.])\d{3,}(?![0-9A-Za-z.])")
_SEGMENT = re.compile(r"(?<=/)[^/?#\s]+")
_QUERY = re.compile(r"\?\S*")
_DIGITS = re.compile(r"\d+")
_LONG_SEGMENT = 12
_SHARE_OF_DIGITS = 0.25


def normalise(name: str) -> str:
    """Return the name of the operation that a span name names."""
    if not any(character.isdigit() for character in name) and "'" not in name:
        return name
    if _SQL.match(name):
        return _normalise_sql(name)
    if "/" in name:
        name = _SEGMENT.sub(_segment, _QUERY.sub("", name))
    return _NUMBER.sub("{n}", _HEX.sub("{id}", _UUID.sub("{id}", name)))


def _normalise_sql(statement: str) -> str:
    """Replace literals, and lists of them by one."""
    bare = _SQL_NUMBER.sub("?", _SQL_TEXT.sub("?", statement))
    return _SQL_ROWS.sub("(?)", _SQL_LIST.sub("(?)", bare))


def _segment(found: re.Match[str]) -> str:
    """Return a segment of a path, or ``{id}`` where it can only name one thing: ``v2`` and ``s3`` stay."""
    text = found.group()
    digits = sum(map(len, _DIGITS.findall(text)))
    if text.isdigit() or _UUID.fullmatch(text) or _HEX.fullmatch(text):
        return "{id}"
    return "{id}" if len(text) >= _LONG_SEGMENT and digits / len(text) >= _SHARE_OF_DIGITS else text


_normalised = lru_cache(REMEMBERED_NAMES)(normalise)


def normalise_operations(columns: SpanColumns) -> SpanColumns:
    """Give the spans of ``columns`` the names of their operations, in place, and return it."""
    used = np.flatnonzero(np.bincount(columns.operation + 1)[1:]).tolist()
    changed = {at: new for at in used if (new := _normalised(columns.names[at])) != columns.names[at]}
    if changed:
        places = {name: at for at, name in enumerate(columns.names)}
        names, table = list(columns.names), np.arange(len(columns.names) + 1, dtype=np.int32)
        table[-1] = -1
        for at, new in changed.items():
            if new not in places:
                places[new] = len(names)
                names.append(new)
            table[at] = places[new]
        columns.operation, columns.names = table[columns.operation], names
    return columns


def merged_names(spans: Mapping[str, int] | Iterable[tuple[str, int]]) -> dict[str, dict[str, int]]:
    """Return what would be merged: by operation the names that it would stand for, with their spans."""
    pairs = spans.items() if isinstance(spans, Mapping) else spans
    groups: dict[str, dict[str, int]] = {}
    for name, count in pairs:
        groups.setdefault(normalise(name), {})[name] = count
    return {operation: names for operation, names in groups.items() if set(names) != {operation}}
