"""The API's description of itself: the OpenAPI document, and a page that shows it without fetching anything foreign."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final

from fastapi import APIRouter, FastAPI, Response
from fastapi.openapi.utils import get_openapi
from starlette.responses import HTMLResponse, RedirectResponse
from starlette.staticfiles import StaticFiles

from api.problems import ProblemDocument

DESCRIPTION: Final = """\
Incident intelligence on OpenTelemetry: send OTLP, announce deploys, read incidents with ranked causes.

**Keys.** Send `Authorization: Bearer <key>` or `X-API-Key: <key>`. The key decides the tenant; nothing else does.

**Instants** are integer Unix nanoseconds in event time (fields named `*_ns`); parameters also take RFC 3339 text.
In a browser, numbers above 2^53 lose their last digits: read the text field next to them.

**Lists** come in keyset pages: give `next_cursor` as `cursor`, with the same filters, until it is null.

**Errors** are problem documents (RFC 9457, `application/problem+json`); on the OTLP paths `google.rpc.Status`.
Another tenant's things do not exist: 404. A parameter that a path does not have is refused, not ignored.
After 429 and 503 wait for `Retry-After` seconds and send the same again.
"""

TAGS: Final = [
    {"name": "incidents", "description": "What broke, since when, why most likely, and who is hit."},
    {"name": "services", "description": "Services and virtual nodes, with their health as series."},
    {"name": "edges", "description": "The service map, at any instant, with the client-server gap of each edge."},
    {"name": "traces", "description": "One trace, and its logs."},
    {"name": "deploys", "description": "Announce what went live (`POST /api/v1/deploys`), and look it up."},
    {"name": "alerts", "description": "What was told to whom, and how each delivery went."},
    {"name": "dead letters", "description": "What was refused and why; send it again once it would be taken."},
    {"name": "reconcile", "description": "What was produced against what became of it, gaps by name."},
    {"name": "otlp", "description": "OTLP/HTTP: point `OTEL_EXPORTER_OTLP_ENDPOINT` at this server."},
    {"name": "operations", "description": "For orchestrators and Prometheus. No key needed."},
]

_DOCS_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
    " connect-src 'self'; frame-ancestors 'none'"
)

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>IncidentScope API</title>
<link rel="stylesheet" href="/docs/assets/swagger-ui.css">
</head>
<body>
<div id="api"></div>
<script src="/docs/assets/swagger-ui-bundle.js"></script>
<script src="/docs/start.js"></script>
</body>
</html>
"""

_START: Final = """\
SwaggerUIBundle({url: "/openapi.json", dom_id: "#api", deepLinking: true, docExpansion: "list",
                 defaultModelsExpandDepth: 0, persistAuthorization: false});
"""


def add_documentation(app: FastAPI) -> None:
    """Serve the OpenAPI document at /openapi.json and a page for it at /docs."""
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    pages = APIRouter(include_in_schema=False)

    @pages.get("/")
    async def root() -> RedirectResponse:
        return RedirectResponse("/docs")

    @pages.get("/docs")
    async def docs() -> HTMLResponse:
        return HTMLResponse(_PAGE, headers={"Content-Security-Policy": _DOCS_POLICY})

    @pages.get("/docs/start.js")
    async def start() -> Response:
        return Response(_START, media_type="text/javascript")

    app.include_router(pages)
    # Swagger UI as the package ships it: the page must work where nothing can be fetched from the internet.
    app.mount("/docs/assets", StaticFiles(directory=str(files("fastapi_offline") / "static")))


def _openapi(app: FastAPI) -> dict[str, Any]:
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            routes=app.routes,
            tags=app.openapi_tags,
            license_info=app.license_info,
        )
        schemas = document["components"]["schemas"]
        problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
        schemas |= problem.pop("$defs", {}) | {ProblemDocument.__name__: problem}
        app.openapi_schema = document
    return app.openapi_schema
