"""From a body to a parsed request: content type, content encoding, protobuf or OTLP JSON.

OTLP JSON is protobuf's JSON mapping but for the ids, which are hex there instead of base64.
"""

from __future__ import annotations

import base64
import json
import re
import zlib
from typing import Any, Final

from google.protobuf.json_format import ParseDict
from google.protobuf.message import DecodeError, Message

from api.otlp.answers import JSON, PROTOBUF, media_type_of
from api.otlp.signals import OTLP_SIGNALS, Signal
from api.problems import Problem, Slug
from schemas.crowding import MOST_JSON_PARTS, has_more_fields, has_more_parts

UNPACKED_LIMIT_BYTES: Final = 20 * 1024 * 1024
RATIO_LIMIT: Final = 100
RATIO_FREE_BYTES: Final = 1024 * 1024
"""Up to this size any ratio is taken: a batch of equal spans compresses better than 1:100 and harms nobody."""

MAX_MEMBERS: Final = 1_000
"""Gzip members of a body: each costs a copy of all that follows it."""

MAX_FIELDS: Final = 500_000
"""Fields of a request from its top down to its items."""

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_IDS: Final = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})


def media_type_taken(content_type: bytes) -> str:
    """Return the media type of a body we can read. Raises `Problem` (415)."""
    media_type = media_type_of(content_type)
    if media_type not in (PROTOBUF, JSON):
        raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE, f"Content-Type must be {PROTOBUF} or {JSON}.")
    return media_type


def unpacked(body: bytes, content_encoding: bytes) -> bytes:
    """Undo the content encoding, within bounds. Raises `Problem` (400, 413, 415)."""
    match content_encoding.strip().lower():
        case b"" | b"identity":
            return body
        case b"gzip" | b"x-gzip":
            return _gunzipped(body)
    raise Problem(Slug.UNSUPPORTED_MEDIA_TYPE, "Content-Encoding must be gzip or absent.", {"Accept-Encoding": "gzip"})


def _gunzipped(body: bytes) -> bytes:
    """Inflate all members of a gzip body, never past the bound: a bomb costs no more than an honest body."""
    limit_bytes = min(UNPACKED_LIMIT_BYTES, max(RATIO_FREE_BYTES, RATIO_LIMIT * len(body)))
    chunks: list[bytes] = []
    size_bytes = members = 0
    while body:
        members += 1
        if members > MAX_MEMBERS:
            raise Problem(Slug.TOO_LARGE, f"The body is packed in more than {MAX_MEMBERS} gzip members.")
        inflater = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        try:
            chunk = inflater.decompress(body, limit_bytes - size_bytes + 1)
        except zlib.error:
            raise Problem(Slug.BAD_REQUEST, "The body is not gzip, as Content-Encoding says.") from None
        chunks.append(chunk)
        size_bytes += len(chunk)
        if size_bytes > limit_bytes:
            raise Problem(
                Slug.TOO_LARGE,
                f"The body unpacks to more than {limit_bytes} bytes"
                f" ({UNPACKED_LIMIT_BYTES} at most, and {RATIO_LIMIT} times its size).",
            )
        if not inflater.eof:
            raise Problem(Slug.BAD_REQUEST, "The gzip body is truncated.")
        body = inflater.unused_data
    return b"".join(chunks)


def parsed(body: bytes, media_type: str, signal: Signal) -> Message:
    """Return the request message. Raises `Problem` (400) when the body is not one, or (413) holds too many parts."""
    return _from_json(body, signal) if media_type == JSON else _from_protobuf(body, signal)


def _from_protobuf(body: bytes, signal: Signal) -> Message:
    if has_more_fields(body, MAX_FIELDS):
        raise Problem(Slug.TOO_LARGE, f"The body holds more than {MAX_FIELDS} items and what is around them.")
    try:
        return signal.lenient.FromString(body)
    except DecodeError:
        # What upb says may quote the payload; it is of no use to the sender either.
        name = signal.strict.DESCRIPTOR.name
        raise Problem(Slug.BAD_REQUEST, f"The body is not a protobuf {name}.") from None


def _from_json(body: bytes, signal: Signal) -> Message:
    if has_more_parts(body):
        raise Problem(Slug.TOO_LARGE, f"The body is more than {MOST_JSON_PARTS} objects and lists, or mostly brackets.")
    try:
        document = json.loads(body.decode("utf-8", "replace")) if body.strip() else {}
        if not isinstance(document, dict):
            raise ValueError("not an object")
        _check_signal(document, signal)
        return ParseDict(_repaired(document), signal.strict(), ignore_unknown_fields=True)
    except Problem:
        raise
    except Exception:  # protobuf's JSON parser raises what it likes for what it does not expect, SystemError too
        name = signal.strict.DESCRIPTOR.name
        raise Problem(Slug.BAD_REQUEST, f"The body is not an OTLP JSON {name}.") from None


def _check_signal(document: dict[str, Any], signal: Signal) -> None:
    """Refuse a request of another signal: its fields are unknown to this one, so all it holds would be passed over."""
    named = [each for each in OTLP_SIGNALS if _names_of_resources(each) & document.keys()]
    if named and signal not in named:
        raise Problem(Slug.BAD_REQUEST, f"The body is an OTLP JSON request of {named[0].name}, not of {signal.name}.")


def _names_of_resources(signal: Signal) -> set[str]:
    """Return how JSON may call the field with a request's resources (protobuf's JSON mapping has two names)."""
    field = signal.strict.DESCRIPTOR.fields_by_name[signal.resources_field]
    return {field.name, field.json_name}


def _repaired(document: dict[str, Any]) -> dict[str, Any]:
    """Turn ids from hex into base64 and lone surrogates into U+FFFD, in place and without recursion.

    Every key is a field name here, as attributes are lists of key and value. An id that is not hex becomes
    empty, so that it costs its own item and not the request.
    """
    waiting: list[Any] = [document]
    while waiting:
        holder = waiting.pop()
        for key, value in holder.items() if isinstance(holder, dict) else enumerate(holder):
            if isinstance(value, dict | list):
                waiting.append(value)
            elif isinstance(value, str):
                holder[key] = _hex_to_base64(value) if key in _IDS else _without_surrogates(value)
    return document


def _hex_to_base64(text: str) -> str:
    try:
        return base64.b64encode(bytes.fromhex(text)).decode()
    except ValueError:
        return ""


def _without_surrogates(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)
