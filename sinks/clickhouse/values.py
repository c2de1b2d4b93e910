"""Opens attribute values that ClickHouse holds as text (migrations/0001_otlp_functions.sql) into JSON values."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Mapping

from google.protobuf.message import DecodeError
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue, KeyValueList

from schemas.queries import Attributes, AttributeValue

MAX_DEPTH = 8
"""Nesting beyond this is shown as ``...``."""


def open_attributes(texts: Mapping[str, str], types: Mapping[str, str]) -> Attributes:
    """Return the attributes with the types they were sent with."""
    return {key: open_value(text, types.get(key, "string")) for key, text in texts.items()}


def open_value(text: str, kind: str) -> AttributeValue:
    """Return one value of the type ``kind`` as a JSON value; one that cannot be opened stays its text."""
    try:
        return _opened(text, kind)
    except (ValueError, DecodeError):
        return text


def open_body(text: str, kind: str) -> AttributeValue:
    """Return a log body as a JSON value: its arrays and maps are JSON already, two levels deep."""
    if kind not in ("array", "map"):
        return open_value(text, kind)
    try:
        body: AttributeValue = json.loads(text, object_hook=_unfolded)
    except (ValueError, RecursionError, DecodeError):
        return text
    return body


def _unfolded(found: dict[str, AttributeValue]) -> AttributeValue:
    """Return what a mark of the third level stands for, or the map itself."""
    for mark, kind in (("@array", "array"), ("@map", "map")):
        if found.keys() == {mark} and isinstance(found[mark], str):
            return _opened(str(found[mark]), kind, depth=2)
    return found


def _opened(text: str, kind: str, depth: int = 0) -> AttributeValue:
    match kind:
        case "int":
            return int(text)
        case "double":
            return _finite(float(text))
        case "bool":
            return text == "true"
        case "array":
            return [
                _plain(value, depth + 1)
                for value in ArrayValue.FromString(base64.b64decode(text, validate=True)).values
            ]
        case "map":
            pairs = KeyValueList.FromString(base64.b64decode(text, validate=True)).values
            return {pair.key: _plain(pair.value, depth + 1) for pair in pairs}
        case "empty":
            return None
    return text


def _plain(value: AnyValue, depth: int) -> AttributeValue:
    """Return a protobuf value as a JSON value. The recursion is bounded by `MAX_DEPTH`."""
    kind = value.WhichOneof("value")
    if depth >= MAX_DEPTH and kind in ("array_value", "kvlist_value"):
        return "..."
    match kind:
        case "array_value":
            return [_plain(inner, depth + 1) for inner in value.array_value.values]
        case "kvlist_value":
            return {pair.key: _plain(pair.value, depth + 1) for pair in value.kvlist_value.values}
        case "bytes_value":
            return base64.b64encode(value.bytes_value).decode()
        case "double_value":
            return _finite(value.double_value)
        case None:
            return None
    scalar: str | bool | int = getattr(value, kind)
    return scalar


def _finite(number: float) -> float | str:
    if math.isfinite(number):
        return number
    return "NaN" if math.isnan(number) else "Infinity" if number > 0 else "-Infinity"
