"""OpenAPI for the OTLP routes, which read their bodies themselves."""

from __future__ import annotations

from typing import Any, Final

from api.otlp.answers import JSON, PROTOBUF
from api.otlp.signals import Signal
from api.problems import Slug

_RESOURCE: Final = {"attributes": [{"key": "service.name", "value": {"stringValue": "checkout"}}]}
_ITEMS: Final[dict[str, dict[str, Any]]] = {
    "traces": {
        "traceId": "0af7651916cd43dd8448eb211c80319c",
        "spanId": "b7ad6b7169203331",
        "name": "POST /checkout",
        "kind": 2,
        "startTimeUnixNano": "1795426200000000000",
        "endTimeUnixNano": "1795426200042000000",
    },
    "metrics": {
        "name": "queue.depth",
        "unit": "{message}",
        "gauge": {"dataPoints": [{"timeUnixNano": "1795426200000000000", "asInt": "7"}]},
    },
    "logs": {
        "timeUnixNano": "1795426200000000000",
        "severityNumber": 17,
        "severityText": "ERROR",
        "body": {"stringValue": "payment refused"},
    },
}
_ERRORS: Final = (
    Slug.BAD_REQUEST,
    Slug.UNAUTHENTICATED,
    Slug.TENANT_MISMATCH,
    Slug.TOO_SLOW,
    Slug.TOO_LARGE,
    Slug.UNSUPPORTED_MEDIA_TYPE,
    Slug.INVALID,
    Slug.TOO_MANY_REQUESTS,
    Slug.INTERNAL,
    Slug.UNAVAILABLE,
)
_BINARY: Final = {"type": "string", "format": "binary"}


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.title() for part in rest)


def request_body(signal: Signal) -> dict[str, Any]:
    """Describe the request of a signal."""
    scope = {"scope": {"name": "shop"}, _camel(signal.items_field): [_ITEMS[signal.name]]}
    document = {_camel(signal.resources_field): [{"resource": _RESOURCE, _camel(signal.scopes_field): [scope]}]}
    schema = {
        "type": "object",
        "description": f"OTLP JSON `{signal.strict.DESCRIPTOR.name}`.",
        "properties": {_camel(signal.resources_field): {"type": "array", "items": {"type": "object"}}},
    }
    return {
        "required": True,
        "description": f"`{signal.strict.DESCRIPTOR.full_name}`, also with `Content-Encoding: gzip`.",
        "content": {JSON: {"schema": schema, "example": document}, PROTOBUF: {"schema": _BINARY}},
    }


def answers(signal: Signal) -> dict[int | str, dict[str, Any]]:
    """Describe the answers of a signal: success, partial success, and errors as ``google.rpc.Status``."""
    partial = {
        "partialSuccess": {
            _camel(signal.rejected_field): "1",
            "errorMessage": "1 of 2 items cannot be used.",
        }
    }
    schema = {"type": "object", "properties": {"partialSuccess": {"type": "object"}}}
    examples = {
        "all taken": {"summary": "All items were taken", "value": {}},
        "partial success": {"summary": "Some were refused", "value": partial},
    }
    found: dict[int | str, dict[str, Any]] = {
        200: {"content": {JSON: {"schema": schema, "examples": examples}, PROTOBUF: {"schema": _BINARY}}}
    }
    return found | {slug.status: _error(slug) for slug in _ERRORS}


def _error(slug: Slug) -> dict[str, Any]:
    example = {"code": 3, "message": slug.title + "."}
    schema = {
        "type": "object",
        "description": "`google.rpc.Status`",
        "properties": {"code": {"type": "integer"}, "message": {"type": "string"}},
    }
    content = {JSON: {"schema": schema, "example": example}, PROTOBUF: {"schema": _BINARY}}
    return {"description": f"{slug.title}.", "content": content}
