"""For orchestrators and Prometheus: alive, ready, metrics. No key is needed here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastapi import APIRouter, Request, Response
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import REGISTRY, CollectorRegistry
from pydantic import BaseModel

from api.problems import Slug, documented
from api.readiness import Dependency, Readiness, ReadinessProbe

router = APIRouter(tags=["operations"])


class Liveness(BaseModel):
    """The process answers."""

    status: str = "alive"


_READY = Readiness(
    status="ready",
    dependencies={
        name: Dependency(status="ready", duration_ms=1.2) for name in ("clickhouse", "kafka", "postgres", "redis")
    },
)
_NOT_READY = _READY.model_copy(
    update={
        "status": "not_ready",
        "dependencies": _READY.dependencies | {"kafka": Dependency(status="away", duration_ms=3000.0)},
    }
)
_METRICS = """\
# HELP incidentscope_api_requests_total HTTP requests by route template (never by path) and status.
# TYPE incidentscope_api_requests_total counter
incidentscope_api_requests_total{method="POST",route="/v1/traces",status="200"} 1024.0
"""


def _json(example: BaseModel) -> dict[str, Any]:
    return {"content": {"application/json": {"example": example.model_dump()}}}


@router.get("/livez", summary="Is the process alive?", responses={200: _json(Liveness())})
async def livez() -> Liveness:
    """Answer without asking any dependency: restart the process only when this fails."""
    return Liveness()


@router.get(
    "/readyz",
    summary="Is every dependency there?",
    response_description="All dependencies answer.",
    responses={
        200: _json(_READY),
        503: {"model": Readiness, "description": "At least one is away: send no traffic.", **_json(_NOT_READY)},
    },
)
async def readyz(request: Request, response: Response) -> Readiness:
    """Ask each dependency (at most every two seconds) and answer 503 when one is away."""
    probe: ReadinessProbe = request.app.state.readiness
    found = await probe.readiness()
    if found.status != "ready":
        response.status_code = 503
        response.headers["Retry-After"] = "2"
    return found


@router.get(
    "/metrics",
    summary="Prometheus metrics",
    response_class=Response,
    response_description="All metrics of this process, in the Prometheus or OpenMetrics text format.",
    responses={
        200: {"content": {"text/plain": {"schema": {"type": "string"}, "example": _METRICS}}},
        **documented(Slug.UNAUTHENTICATED, Slug.TENANT_MISMATCH),
    },
)
async def metrics(request: Request) -> Response:
    """Return the metrics of the API, and of the worker when it runs in the same process.

    Their labels name tenants: where several have keys, only the operator's is told (`INCIDENTSCOPE_API_OPEN_METRICS`).
    """
    encode, content_type = _encoder_for(request.headers.get("accept", ""))
    return Response(encode(REGISTRY), media_type=content_type)


def _encoder_for(accept: str) -> tuple[Callable[[CollectorRegistry], bytes], str]:
    """Return prometheus-client's choice; the plain format for versions that it cannot compare with numbers."""
    try:
        return choose_encoder(accept)
    except (TypeError, ValueError):
        return choose_encoder("")
