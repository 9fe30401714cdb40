"""The FastAPI application: its routes share one client for its whole lifetime, and every request is logged.

A log line is one JSON object with the fields that Cloud Run's log viewer knows. No secret stands in any: lines hold
no headers and no query, and a key that gets into a path or a traceback is taken out.
"""

from __future__ import annotations

import asyncio
import logging
import re
import sys
from contextlib import asynccontextmanager
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, cast

from asgi_correlation_id import CorrelationIdMiddleware, correlation_id
from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from pydantic import BaseModel, Field
from pythonjsonlogger.json import JsonFormatter
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException

from supalab.contest_agent.bounds import Bounds, ClientDisconnected
from supalab.contest_agent.contests import Database, contests
from supalab.contest_agent.options import client_arm
from supalab.contest_agent.problems import MEDIA_TYPE, NOT_VALID, RETRY, declared, problem, problem_of
from supalab.replies import without
from supalab.version import __version__

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable

    from starlette.datastructures import State
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from supalab.clients.base import Client
    from supalab.contest_agent.options import AgentOptions

__all__ = ["ContestAgent", "JsonLines", "create_app", "start_logging"]

log = logging.getLogger("supalab.contest_agent")

READY_WITHIN_S = 2.0
SANE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}")
NOT_READY = HTTPException(503, "the backend does not answer as it should", RETRY)
#: Not HTTP's but widely used: the client closed the request.
CLIENT_DISCONNECTED = 499
#: The process ended before the request did.
CUT_SHORT = 503
UNSEEN = frozenset({"/metrics"})  # reading the counts should not change them
METHODS = ("GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS")
#: In seconds, around the article's 0.15 and 0.45 and the service's own deadline.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.9, 1.5, 3.0, 6.0, 10.0)
#: The text format's own version, which has not changed since 2014 (prometheus.io, exposition formats).
METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

operations = APIRouter(tags=["operations"])


class Health(BaseModel):
    """How the service is."""

    status: Literal["ok"] = "ok"
    client: str = Field(description="The arm whose client talks to the backend.", examples=["real-10"])


@operations.get("/health")
async def get_health(request: Request) -> Health:
    """Report that the process is alive; the backend is not checked, because a restart would not repair it."""
    return Health(client=request.app.state.options.client)


@operations.get("/ready", responses=declared(503))
async def get_readiness(db: Database, request: Request) -> Health:
    """Report whether requests can be served now, by reading one row from the backend."""
    options: AgentOptions = request.app.state.options
    try:
        async with asyncio.timeout(min(READY_WITHIN_S, options.settings.timeout)):
            await db.select("contests", columns="id", limit=1)
    except Exception as error:
        raise NOT_READY from error
    return Health(client=options.client)


METRICS: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text."}
}


@operations.get("/metrics", response_class=Response, responses=METRICS)
async def get_metrics(request: Request) -> Response:
    """Return the counts in Prometheus' text format."""
    return Response(generate_latest(request.app.state.meters.registry), media_type=METRICS_TYPE)


class ContestAgent(FastAPI):
    """The app; ``state.client`` is its client, ``state.leaving`` is true once its end was asked for."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, in which errors have the media type that they have."""
        if not self.openapi_schema:
            document = super().openapi()
            operations = [one for path in document["paths"].values() for one in path.values()]
            for status, answer in [pair for one in operations for pair in one["responses"].items()]:
                if status >= "400" and "application/json" in answer.get("content", {}):
                    answer["content"] = {MEDIA_TYPE: answer["content"]["application/json"]}
            self.openapi_schema = document
        return self.openapi_schema


def create_app(options: AgentOptions) -> ContestAgent:
    """Make the application for one backend; nothing is opened before its lifespan starts."""
    app = ContestAgent(
        title="contest-agent",
        summary="Contests and their deadlines, from a Supabase backend.",
        version=__version__,
        lifespan=_one_client,
        exception_handlers=dict.fromkeys((HTTPException, RequestValidationError), _refused),
        redirect_slashes=False,
        docs_url=None,  # its page is loaded from the network, and everything here works without one
        redoc_url=None,
    )
    app.state.options, app.state.meters, app.state.leaving = options, Meters(options.client), False
    app.include_router(contests)
    app.include_router(operations)
    app.add_middleware(Bounds, seconds=options.deadline)
    app.add_middleware(Journal, state=app.state)
    secrets = options.settings.secrets
    sane = lambda given: SANE_ID.fullmatch(given) is not None and without(given, secrets) == given  # noqa: E731
    app.add_middleware(CorrelationIdMiddleware, validator=sane)
    return app


@asynccontextmanager
async def _one_client(app: FastAPI) -> AsyncIterator[None]:
    options: AgentOptions = app.state.options
    # The one line in which fake, article and real differ: which class is made.
    client = cast("Client", client_arm(options.client).build(options.settings))
    app.openapi()  # made now, since it takes tens of milliseconds and no request should wait for it
    async with client as app.state.client:
        yield


async def _refused(request: Request, error: Exception) -> Response:
    """Answer what the framework refuses: no such path, no such method, a body that is too long or not valid."""
    if isinstance(error, HTTPException) and error.status_code == 400:
        error = NOT_VALID  # JSON that Python cannot read, such as a number of 5,000 digits
    elif isinstance(error, HTTPException) and error.status_code == 405:
        # The framework names the methods of the first route only that has this path.
        route = getattr(request.scope.get("route"), "path", "")
        path = request.app.openapi()["paths"].get(route, {})
        methods = ", ".join(one.upper() for one in path)
        error = HTTPException(405, headers={"Allow": methods} if methods else error.headers)
    return problem(error)


class Journal:
    """Middleware that times, counts and logs each request, and handles errors that nothing else handled."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on and keep a record of it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, status, cause, answering = perf_counter(), CUT_SHORT, "", False

        async def noting(message: Message) -> None:
            nonlocal status, answering
            if message["type"] == "http.response.start":
                status, answering = message["status"], True
                if self._state.leaving:
                    MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        seen = scope["path"] not in UNSEEN
        self._state.meters.in_progress.inc(seen)
        try:
            await self._app(scope, receive, noting)
        except ClientDisconnected:
            status = CLIENT_DISCONNECTED
        except Exception as error:
            cause = type(error).__name__
            if problem_of(error) is None:
                log.exception("a bug", extra={"request_id": correlation_id.get()})
            if answering:
                raise  # half a response cannot be repaired: the server closes the connection
            await problem(error)(scope, receive, noting)
        finally:
            if seen:
                self._write(scope, status, perf_counter() - began, cause)
        return None

    def _write(self, scope: Scope, status: int, seconds: float, cause: str) -> None:
        template = getattr(scope.get("route"), "path_format", "(none)")
        self._state.meters.ended(scope["method"], template, status, seconds)
        entry = {"request_id": correlation_id.get(), "method": scope["method"], "path": scope["path"]}
        entry |= {"route": template, "status": status, "ms": round(seconds * 1000, 1)}
        entry |= {"error": cause} if cause else {}
        log.log(logging.ERROR if status == 500 else logging.INFO, "request", extra=entry)


class Meters:
    """A count, a duration and a gauge for Prometheus, in a registry of its own.

    ``client`` labels them all, so that two services can share a dashboard.
    """

    def __init__(self, client: str) -> None:
        self.registry = here = CollectorRegistry()
        self._client = client
        labels = ("client", "method", "route")
        ended, took = "Requests that have ended; 499: the client disconnected.", "From a request's head to its end."
        self._requests = Counter("contest_agent_requests", ended, (*labels, "status"), registry=here)
        self._seconds = Histogram("contest_agent_request_seconds", took, labels, buckets=BUCKETS, registry=here)
        gauge = Gauge("contest_agent_requests_in_progress", "Requests in progress.", labels[:1], registry=here)
        self.in_progress = gauge.labels(client)

    def ended(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request; ``route`` is its template, so that there are as many series as routes."""
        labels = (self._client, method if method in METHODS else "other", route)
        self.in_progress.dec()
        self._requests.labels(*labels, str(status)).inc()
        self._seconds.labels(*labels).observe(seconds)


class JsonLines(JsonFormatter):
    """Writes a log record as one line of JSON, with ``secrets`` taken out of every text."""

    def __init__(self, secrets: Iterable[str], client: str) -> None:
        names = {"levelname": "severity", "exc_info": "traceback"}
        super().__init__(
            ["levelname", "message"], rename_fields=names, static_fields={"client": client}, timestamp="time"
        )
        self._secrets = tuple(secrets)

    def process_log_record(self, log_data: dict[str, Any]) -> dict[str, Any]:
        """Take the secrets out before it is JSON, which may write a key's letters in another way."""
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
