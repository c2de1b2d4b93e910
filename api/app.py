"""The door: one ASGI application over the stores.

::

    request ─▶ AccessLog ─▶ Gate ─▶ routers ─▶ sinks
               id, log,     key, tenant,
               metrics      limits, body
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from importlib.metadata import version

from fastapi import Depends, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from api.access import AccessLog
from api.answers import answer_problem
from api.auth import KeyRing
from api.documentation import DESCRIPTION, TAGS, add_documentation
from api.gate import Gate, InFlight, Unlimited
from api.heads import Heads
from api.otlp.receiving import Receiver
from api.parameters import known_parameters_only
from api.places import Places
from api.problems import Problem, Slug, documented, problem_of
from api.rate_limit import RedisRateLimit
from api.readiness import ReadinessProbe, checks_of
from api.routers import (
    alerts,
    budgets,
    dead_letters,
    deploys,
    edges,
    health,
    incidents,
    otlp,
    reconcile,
    revisions,
    services,
    traces,
)
from schemas.errors import BadPayload, Conflict, NotFound, StoreUnavailable
from schemas.settings import Settings
from sinks.api_keys import tenants_by_key
from sinks.stores import Stores, open_stores

NOUNS = (incidents, revisions, budgets, services, edges, traces, deploys, alerts, dead_letters, reconcile)


def create_app(settings: Settings | None = None, stores: Stores | None = None) -> FastAPI:
    """Return the application; uvicorn takes it as factory ``api.app:create_app``.

    ``settings`` default to the environment's. ``stores`` that are handed in are used and left open (they must
    live on the event loop that serves the application); without them the application opens its own at start.
    Raises `SetupError` when the API keys cannot be read or made.
    """
    settings = settings or Settings()
    app = FastAPI(
        title="IncidentScope",
        summary="What broke, why most likely, and who is hit.",
        description=DESCRIPTION,
        version=version("incidentscope"),
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=_lifespan(settings, stores),
    )
    app.state.settings, app.state.stores = settings, stores
    app.state.receiver = Receiver()
    _add_routes(app)
    _add_layers(app, settings)
    add_documentation(app)
    return app


def _lifespan(settings: Settings, stores: Stores | None) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with nullcontext(stores) if stores else open_stores(settings) as opened:
            app.state.stores = opened
            app.state.readiness = ReadinessProbe(checks_of(opened, settings))
            yield
            app.state.stores = None

    return lifespan


def _add_routes(app: FastAPI) -> None:
    strict = [Depends(known_parameters_only)]
    errors = documented(
        Slug.BAD_REQUEST,
        Slug.UNAUTHENTICATED,
        Slug.TENANT_MISMATCH,
        Slug.INVALID,
        Slug.TOO_MANY_REQUESTS,
        Slug.INTERNAL,
        Slug.UNAVAILABLE,
    )
    for noun in NOUNS:
        app.include_router(noun.router, dependencies=strict, responses=errors)
    app.include_router(otlp.router)
    app.include_router(health.router)


def _add_layers(app: FastAPI, settings: Settings) -> None:
    for kind in (RequestValidationError, HTTPException, Problem, NotFound, Conflict, StoreUnavailable, BadPayload):
        app.add_exception_handler(kind, _answer)
    per_s = settings.api_rate_limit_per_s
    limit = RedisRateLimit(lambda: app.state.stores and app.state.stores.redis, per_s) if per_s else Unlimited()
    keys = KeyRing(tenants_by_key(settings))
    # The layer added last is the outermost.
    app.add_middleware(
        Gate,
        keys=keys,
        otlp_limit_bytes=settings.api_max_body_bytes,
        rate_limit=limit,
        in_flight=InFlight(),
        places=Places(settings.api_answers_at_once, settings.api_answers_of_tenant),
        body_timeout_s=settings.api_body_timeout_s,
        metrics_for=None if settings.api_open_metrics or len(keys.tenants) < 2 else settings.operator,
    )
    app.add_middleware(AccessLog)
    app.add_middleware(Heads)


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if problem is None:
        raise error
    return answer_problem(problem, request.scope)
