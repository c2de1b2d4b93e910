"""Attribute values come out of their text as what they were, and what is broken stays text."""

from __future__ import annotations

import base64
import json

import pytest
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, ArrayValue

from sinks.clickhouse.values import open_attributes, open_body, open_value


def packed(value: AnyValue) -> str:
    """Return an array's protobuf content in base64."""
    return base64.b64encode(value.array_value.SerializeToString()).decode()


def nested(depth: int) -> AnyValue:
    """Return an array in an array, so many deep."""
    value = AnyValue(string_value="end")
    for _ in range(depth):
        value = AnyValue(array_value=ArrayValue(values=[value]))
    return value


@pytest.mark.parametrize(
    ("text", "kind", "value"),
    [
        ("200", "string", "200"),
        ("200", "int", 200),
        ("1.5", "double", 1.5),
        ("nan", "double", "NaN"),
        ("inf", "double", "Infinity"),
        ("-inf", "double", "-Infinity"),
        ("true", "bool", True),
        ("false", "bool", False),
        ("", "empty", None),
        ("AP8=", "bytes", "AP8="),
        ("", "array", []),
        ("", "map", {}),
    ],
)
def test_each_type_opens(text: str, kind: str, value: object) -> None:
    """And stays representable in JSON."""
    assert open_value(text, kind) == value
    json.dumps(open_value(text, kind), allow_nan=False)


@pytest.mark.parametrize(("text", "kind"), [("x", "int"), ("!", "array"), ("/w==", "map"), ("", "double")])
def test_what_cannot_be_opened_stays_its_text(text: str, kind: str) -> None:
    """A reader is never stopped by one value."""
    assert open_value(text, kind) == text


def test_depth_ends_in_dots() -> None:
    """Seven levels are shown; the eighth, and any beyond that the parser still takes, is three dots."""
    shown = open_value(packed(nested(8)), "array")
    for _ in range(7):
        assert isinstance(shown, list)
        [shown] = shown
    assert shown == ["end"] or shown == "..."
    assert "..." in json.dumps(open_value(packed(nested(30)), "array"))


def test_a_body_of_json_opens_its_third_level() -> None:
    """Two levels are JSON; the marks stand for protobuf."""
    deep = packed(nested(2))
    assert open_body(f'{{"a": {{"b": {{"@array": "{deep}"}}}}}}', "map") == {"a": {"b": [["end"]]}}
    assert open_body("[1, ", "array") == "[1, "
    assert open_body("plain", "string") == "plain"


def test_a_key_without_a_type_is_a_string() -> None:
    """Strings need no entry in the types."""
    assert open_attributes({"a": "1", "b": "2"}, {"b": "int"}) == {"a": "1", "b": 2}
