"""OTLP/HTTP: the paths that SDKs and Collectors post to."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from api.auth import Tenant
from api.otlp import described
from api.otlp.receiving import Body, Receiver
from api.otlp.signals import LOGS_SIGNAL, METRICS_SIGNAL, TRACES_SIGNAL, Signal
from api.resources import OpenStores
from sinks.stores import Stores

router = APIRouter(prefix="/v1", tags=["otlp"])


def _documented(signal: Signal) -> dict[str, Any]:
    """Return what FastAPI cannot know of a route that reads its body itself."""
    return {
        "openapi_extra": {"requestBody": described.request_body(signal)},
        "responses": described.answers(signal),
        "response_description": "The broker has all of it; `partial_success` counts the items that were refused.",
    }


@router.post("/traces", summary="Send spans", **_documented(TRACES_SIGNAL))
async def export_traces(request: Request, tenant: Tenant, stores: OpenStores) -> Response:
    """Take an OTLP `ExportTraceServiceRequest` and answer when Kafka has confirmed it.

    Spans without a valid trace or span id are counted in `partial_success` (and kept in the reject table).
    """
    return await _export(request, tenant, stores, TRACES_SIGNAL)


@router.post("/metrics", summary="Send metrics", **_documented(METRICS_SIGNAL))
async def export_metrics(request: Request, tenant: Tenant, stores: OpenStores) -> Response:
    """Take an OTLP `ExportMetricsServiceRequest` and answer when Kafka has confirmed it."""
    return await _export(request, tenant, stores, METRICS_SIGNAL)


@router.post("/logs", summary="Send logs", **_documented(LOGS_SIGNAL))
async def export_logs(request: Request, tenant: Tenant, stores: OpenStores) -> Response:
    """Take an OTLP `ExportLogsServiceRequest` and answer when Kafka has confirmed it."""
    return await _export(request, tenant, stores, LOGS_SIGNAL)


async def _export(request: Request, tenant: str, stores: Stores, signal: Signal) -> Response:
    receiver: Receiver = request.app.state.receiver
    headers = dict(reversed(request.headers.raw))
    body = Body(await request.body(), headers.get(b"content-type", b""), headers.get(b"content-encoding", b""))
    return await receiver.receive(body, tenant, signal, stores.producer)
