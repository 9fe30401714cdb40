"""The FastAPI application: its routes share one client for its whole lifetime, and every request is logged.

A log line is one JSON object with the fields that Cloud Run's log viewer knows. No line contains a secret: lines hold
no headers and no query, and a key that gets into a path or a traceback is removed.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any, Literal

from asgi_correlation_id import CorrelationIdMiddleware
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from prometheus_client import CollectorRegistry, generate_latest
from pydantic import BaseModel, Field
from pythonjsonlogger.json import JsonFormatter
from starlette.exceptions import HTTPException

from supalab import __version__
from supalab.contest_agent.contests import Database, contests
from supalab.contest_agent.journal import Journal, log
from supalab.contest_agent.options import AgentOptions, client_arm
from supalab.contest_agent.problems import MEDIA_TYPE, NOT_VALID, RETRY, declared, problem
from supalab.replies import without

READY_WITHIN_S = 2.0
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
NOT_READY = HTTPException(503, "the backend does not answer as it should", RETRY)
#: The text format's own version, which has not changed since 2014 (prometheus.io, exposition formats).
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

operations = APIRouter(tags=["operations"])


class Health(BaseModel):
    """The state of the service."""

    status: Literal["ok"] = "ok"
    client: str = Field(description="The arm whose client talks to the backend.", examples=["real-10"])


@operations.get("/health")
async def get_health(request: Request) -> Health:
    """Report that the process is alive; the backend is not checked, because a restart would not repair it."""
    return Health(client=request.app.state.options.client)


@operations.get("/ready", responses=declared(503))
async def get_readiness(db: Database, request: Request) -> Health:
    """Report whether the service can serve requests now, by reading one row from the backend."""
    options: AgentOptions = request.app.state.options
    try:
        async with asyncio.timeout(min(READY_WITHIN_S, options.settings.timeout)):
            await db.select("contests", columns="id", limit=1)
    except Exception as error:
        raise NOT_READY from error
    return Health(client=options.client)


@operations.get("/metrics", response_class=PlainTextResponse)
async def get_metrics(request: Request) -> Response:
    """Return the counts in Prometheus' text format."""
    return Response(generate_latest(request.app.state.registry), media_type=METRICS_TYPE)


def create_app(options: AgentOptions) -> FastAPI:
    """Make the application for one backend; nothing is opened before its lifespan starts.

    ``state.client`` is its client; ``state.leaving`` becomes true when the service is asked to stop.
    """
    app = FastAPI(
        title="contest-agent",
        summary="Contests and their deadlines, from a Supabase backend.",
        version=__version__,
        lifespan=_one_client,
        exception_handlers=dict.fromkeys((HTTPException, RequestValidationError), _refused),
        redirect_slashes=False,
        docs_url=None,  # its page is loaded from the network, and everything here must work without a network
        redoc_url=None,
    )
    app.state.options, app.state.registry, app.state.leaving = options, CollectorRegistry(), False
    app.include_router(contests)
    app.include_router(operations)
    app.add_middleware(Journal, seconds=options.deadline, state=app.state)

    def is_sane(given: str) -> bool:
        return SANE_ID.fullmatch(given) is not None and without(given, options.settings.secrets) == given

    app.add_middleware(CorrelationIdMiddleware, validator=is_sane)
    # The document is made now, because that takes tens of milliseconds and no request should wait for it. Its errors
    # get the media type that they really have.
    for operation in [one for path in app.openapi()["paths"].values() for one in path.values()]:
        for status, answer in operation["responses"].items():
            if status >= "400":
                answer["content"] = {MEDIA_TYPE: answer["content"]["application/json"]}
    return app


@asynccontextmanager
async def _one_client(app: FastAPI) -> AsyncIterator[None]:
    options: AgentOptions = app.state.options
    # The one line in which fake, article and real differ: the class of the client.
    client: Any = client_arm(options.client).build(options.settings)
    async with client as app.state.client:
        yield


async def _refused(request: Request, error: Exception) -> Response:
    """Respond to what the framework refuses: an unknown path or method, a body that is too long or not valid."""
    if isinstance(error, HTTPException) and error.status_code == 400:
        error = NOT_VALID  # JSON that Python cannot read, such as a number of 5,000 digits
    elif isinstance(error, HTTPException) and error.status_code == 405:
        # The framework names the methods of the first route with this path only.
        route = getattr(request.scope.get("route"), "path", "")
        methods = ", ".join(one.upper() for one in request.app.openapi()["paths"].get(route, {}))
        error = HTTPException(405, headers={"Allow": methods} if methods else error.headers)
    return problem(error)


class JsonLines(JsonFormatter):
    """Writes a log record as one line of JSON; ``secrets`` are removed from every text."""

    def __init__(self, secrets: Iterable[str], client: str) -> None:
        names, fields = {"levelname": "severity", "exc_info": "traceback"}, ["levelname", "message"]
        super().__init__(fields, rename_fields=names, static_fields={"client": client}, timestamp="time")
        self._secrets = tuple(secrets)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Remove the secrets before the record becomes JSON, which may write a key's characters differently."""
        return {
            name: without(value, self._secrets) if isinstance(value, str) else value for name, value in log_data.items()
        }


def start_logging(options: AgentOptions) -> None:
    """Write the lines to standard error: the service's own from INFO up, what libraries say from WARNING up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(options.settings.secrets, options.client))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(logging.INFO)
    logging.getLogger("asgi_correlation_id").setLevel(logging.ERROR)  # a replaced id is not worth a log line
