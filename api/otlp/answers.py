"""What an OTLP client is answered, in the encoding it asked in: a response message or ``google.rpc.Status``."""

from __future__ import annotations

from typing import Final

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from starlette.responses import Response

from api.otlp.signals import Signal
from api.problems import Problem

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"

_GRPC_CODES: Final = {
    400: 3,  # INVALID_ARGUMENT
    401: 16,  # UNAUTHENTICATED
    403: 7,  # PERMISSION_DENIED
    404: 5,  # NOT_FOUND
    405: 12,  # UNIMPLEMENTED
    408: 4,  # DEADLINE_EXCEEDED
    413: 8,  # RESOURCE_EXHAUSTED
    415: 3,
    422: 3,
    429: 8,
    503: 14,  # UNAVAILABLE
}
_INTERNAL: Final = 13


def media_type_of(content_type: bytes) -> str:
    """Return the bare media type of a Content-Type header."""
    return content_type.partition(b";")[0].strip().lower().decode("ascii", "replace")


def otlp_success(signal: Signal, media_type: str, rejected_items: int, why: str) -> Response:
    """Return a 200: an empty message, or a partial success that counts what was refused."""
    message = signal.response()
    if rejected_items:
        setattr(message.partial_success, signal.rejected_field, rejected_items)
        message.partial_success.error_message = why
    return _encoded(message, media_type, 200, {})


def otlp_error(problem: Problem, content_type: bytes) -> Response:
    """Return a problem as ``google.rpc.Status``; JSON for a client that did not say protobuf."""
    code = _GRPC_CODES.get(problem.slug.status, _INTERNAL)
    media_type = PROTOBUF if media_type_of(content_type) == PROTOBUF else JSON
    return _encoded(Status(code=code, message=problem.detail), media_type, problem.slug.status, problem.headers)


def _encoded(message: Message, media_type: str, status: int, headers: dict[str, str]) -> Response:
    content = message.SerializeToString() if media_type == PROTOBUF else MessageToJson(message, indent=None).encode()
    return Response(content, status, headers, media_type)
