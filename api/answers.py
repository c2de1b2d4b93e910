"""From a problem to bytes: the one place that decides how an error looks on which path."""

from __future__ import annotations

from urllib.parse import quote

from starlette.responses import JSONResponse, Response
from starlette.types import Scope

from api.otlp.answers import otlp_error
from api.paths import OTLP
from api.problems import Problem


def answer_problem(problem: Problem, scope: Scope) -> Response:
    """Return the error answer of a request: ``google.rpc.Status`` on OTLP paths, else a problem document."""
    path: str = scope["path"]
    if path.startswith(OTLP):
        return otlp_error(problem, dict(scope["headers"]).get(b"content-type", b""))
    raw: bytes = scope.get("raw_path") or quote(path).encode()
    instance = raw.partition(b"?")[0].decode("ascii", "backslashreplace")
    document = problem.document(instance[:500], scope["state"]["request_id"])
    return JSONResponse(
        document.model_dump(exclude_none=True),
        status_code=problem.slug.status,
        headers=problem.headers,
        media_type="application/problem+json",
    )
