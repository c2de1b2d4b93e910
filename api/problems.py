"""Every error answer: RFC 9457 problem documents, or ``google.rpc.Status`` on the OTLP paths (``api.otlp.answers``).

A problem's ``type`` is a stable URN to program against, its ``title`` is the same for every occurrence, its
``detail`` is for people. Nothing of an exception that we did not raise on purpose is ever told to a client.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException

from schemas.errors import BadPayload, Conflict, NotFound, RejectReason, StoreUnavailable

RETRY_AFTER_S = 2
"""What a client is told to wait when a store is away."""

MAX_FIELD_ERRORS = 20


class Slug(Enum):
    """The kinds of problem: status code, last part of the type URN, title."""

    BAD_REQUEST = (400, "bad-request", "The request cannot be read")
    UNAUTHENTICATED = (401, "unauthenticated", "A valid API key is needed")
    TENANT_MISMATCH = (403, "tenant-mismatch", "The API key belongs to another tenant")
    NOT_FOUND = (404, "not-found", "There is no such thing")
    METHOD_NOT_ALLOWED = (405, "method-not-allowed", "This path does not take that method")
    TOO_SLOW = (408, "too-slow", "The body did not arrive in time")
    CONFLICT = (409, "conflict", "The request contradicts what is stored")
    TOO_LARGE = (413, "too-large", "The request is too large")
    UNSUPPORTED_MEDIA_TYPE = (415, "unsupported-media-type", "The body's type or encoding is not taken here")
    INVALID = (422, "invalid", "A parameter or field is not valid")
    TOO_MANY_REQUESTS = (429, "too-many-requests", "Too many requests")
    INTERNAL = (500, "internal", "Something went wrong on our side")
    UNAVAILABLE = (503, "unavailable", "A store is away")
    OVERLOADED = (503, "overloaded", "Too much is in flight")

    @property
    def status(self) -> int:
        """HTTP status code."""
        return self.value[0]

    @property
    def urn(self) -> str:
        """The problem's ``type``."""
        return f"urn:incidentscope:problem:{self.value[1]}"

    @property
    def title(self) -> str:
        """The same words for every occurrence."""
        return self.value[2]


class FieldError(BaseModel):
    """What is wrong with one parameter or field."""

    where: str = Field(description="`query.limit`, `path.trace_id`, `body.service`…", examples=["query.limit"])
    detail: str = Field(examples=["Input should be less than or equal to 200"])


class ProblemDocument(BaseModel):
    """An error, as RFC 9457 describes it (`application/problem+json`)."""

    type: str = Field(description="Stable name of the kind of problem.", examples=[Slug.NOT_FOUND.urn])
    title: str = Field(examples=[Slug.NOT_FOUND.title])
    status: int = Field(examples=[404])
    detail: str = Field(description="What happened, for people.", examples=["No such incident."])
    instance: str = Field(description="Path of the request.", examples=["/api/v1/incidents/inc-1"])
    request_id: str = Field(
        description="Also in the `X-Request-Id` header and in our log.", examples=["5f0c1d2e3a4b5c6d"]
    )
    errors: list[FieldError] | None = Field(None, description="With `invalid`: each parameter or field that is wrong.")


@dataclass(eq=False)
class Problem(Exception):
    """Raise it anywhere below the door: it becomes the answer."""

    slug: Slug
    detail: str
    headers: dict[str, str] = field(default_factory=dict)
    errors: list[FieldError] | None = None

    def document(self, instance: str, request_id: str) -> ProblemDocument:
        """Return what the client is told."""
        return ProblemDocument(
            type=self.slug.urn,
            title=self.slug.title,
            status=self.slug.status,
            detail=self.detail,
            instance=instance,
            request_id=request_id,
            errors=self.errors,
        )


def retry_later(slug: Slug, detail: str, after_s: float = RETRY_AFTER_S) -> Problem:
    """Return a problem that tells the client when to come back (at least a second from now)."""
    return Problem(slug, detail, {"Retry-After": str(max(1, round(after_s)))})


def problem_of(error: Exception) -> Problem | None:
    """Translate an exception into what the client is told; None for a bug of ours."""
    match error:
        case Problem():
            return error
        case RequestValidationError():
            return _of_validation(error.errors())
        case HTTPException():
            return _of_http(error)
        case NotFound():
            return Problem(Slug.NOT_FOUND, str(error) or "No such thing.")
        case Conflict():
            return Problem(Slug.CONFLICT, str(error))
        case StoreUnavailable():
            return retry_later(Slug.UNAVAILABLE, "A store that is needed for this answer does not respond.")
        case BadPayload(reason=RejectReason.TOO_LARGE):
            return Problem(Slug.TOO_LARGE, error.detail)
        case BadPayload():
            return Problem(Slug.BAD_REQUEST, error.detail)
    return None


def _of_validation(found: Any) -> Problem:
    """Say where and what, never the input itself: it may be large, secret or not printable."""
    errors = [
        FieldError(where=".".join(_printable(str(part)) for part in one["loc"])[:200], detail=one["msg"][:300])
        for one in found[:MAX_FIELD_ERRORS]
    ]
    if any(one["type"] == "json_invalid" for one in found):
        return Problem(Slug.BAD_REQUEST, "The body is not JSON.", errors=errors)
    return Problem(Slug.INVALID, f"{len(found)} of the parameters or fields are not valid.", errors=errors)


def _printable(text: str) -> str:
    return text.encode("ascii", "backslashreplace").decode()


_BY_STATUS = {slug.status: slug for slug in Slug if slug is not Slug.OVERLOADED}


def _of_http(error: HTTPException) -> Problem:
    slug = _BY_STATUS.get(error.status_code, Slug.BAD_REQUEST if error.status_code < 500 else Slug.INTERNAL)
    headers: Mapping[str, str] = error.headers or {}
    return Problem(slug, _DETAILS.get(slug, slug.title + "."), dict(headers))


_DETAILS = {
    Slug.NOT_FOUND: "No such path.",
    Slug.METHOD_NOT_ALLOWED: "The Allow header lists the methods of this path.",
}


def documented(*slugs: Slug) -> dict[int | str, dict[str, Any]]:
    """Return OpenAPI's ``responses`` of the given problems, each with an example."""
    found: dict[int | str, dict[str, Any]] = {}
    for slug in slugs:
        example = Problem(slug, _EXAMPLE_DETAILS[slug]).document("/api/v1/incidents", "5f0c1d2e3a4b5c6d")
        found[slug.status] = {
            "description": f"{slug.title}.",
            "content": {
                "application/problem+json": {
                    "schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"},
                    "example": example.model_dump(exclude_none=True),
                }
            },
        }
    return found


_EXAMPLE_DETAILS = {
    Slug.BAD_REQUEST: "The query string is not UTF-8.",
    Slug.UNAUTHENTICATED: "Send `Authorization: Bearer <key>` or `X-API-Key: <key>`.",
    Slug.TENANT_MISMATCH: "The x-tenant-id header names another tenant than the API key's.",
    Slug.NOT_FOUND: "No such incident.",
    Slug.METHOD_NOT_ALLOWED: _DETAILS[Slug.METHOD_NOT_ALLOWED],
    Slug.TOO_SLOW: "The body did not arrive within 30 s.",
    Slug.CONFLICT: "Deploy checkout-512 is stored with other content.",
    Slug.TOO_LARGE: "The body is larger than 4194304 bytes.",
    Slug.UNSUPPORTED_MEDIA_TYPE: "Content-Type must be application/json.",
    Slug.INVALID: "1 of the parameters or fields are not valid.",
    Slug.TOO_MANY_REQUESTS: "Slow down.",
    Slug.INTERNAL: "It is in our log under this request id.",
    Slug.UNAVAILABLE: "A store that is needed for this answer does not respond.",
    Slug.OVERLOADED: "Too many bytes are being received at once.",
}
