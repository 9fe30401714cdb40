"""The application: options flow in, a FastAPI app flows out, whose one client lives from its start to its end."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, cast

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from supalab import __version__
from supalab.contest_agent.bounds import Bounds
from supalab.contest_agent.journal import Journal
from supalab.contest_agent.metrics import Meters
from supalab.contest_agent.openapi import methods_of, with_problems
from supalab.contest_agent.options import client_arm
from supalab.contest_agent.problems import Trouble, invalid, problem
from supalab.contest_agent.routes import contests, operations

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from fastapi import Request, Response

    from supalab.clients.base import Client
    from supalab.contest_agent.options import AgentOptions

__all__ = ["ContestAgent", "create_app"]


class ContestAgent(FastAPI):
    """The app; ``state.db`` is its client, ``state.leaving`` is true once its end was asked for."""

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI document, in which errors have the shape that they have."""
        if not self.openapi_schema:
            self.openapi_schema = with_problems(super().openapi())
        return self.openapi_schema


def create_app(options: AgentOptions) -> ContestAgent:
    """Make the application for one backend; nothing is opened before its lifespan starts."""
    app = ContestAgent(
        title="contest-agent",
        summary="Contests and their deadlines, from a Supabase backend.",
        version=__version__,
        lifespan=_one_client,
        redirect_slashes=False,
        docs_url=None,  # its page is loaded from the network, and everything here works without one
        redoc_url=None,
    )
    app.state.options, app.state.meters, app.state.leaving = options, Meters(options.client), False
    app.include_router(contests)
    app.include_router(operations)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _not_valid)
    app.add_middleware(Bounds, seconds=options.deadline)
    app.add_middleware(Journal, state=app.state)
    return app


@asynccontextmanager
async def _one_client(app: FastAPI) -> AsyncIterator[None]:
    options: AgentOptions = app.state.options
    # The one line in which fake, article and real differ: which class is made.
    client = cast("Client", client_arm(options.client).build(options.settings))
    app.openapi()  # made now, since it takes tens of milliseconds and no request should wait for it
    async with client as app.state.db:
        yield


async def _refused(request: Request, error: Exception) -> Response:
    """What the framework refuses: no such path, no such method, a body that is too long or no JSON."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        # The framework names the methods of the first route only that has this path.
        headers["Allow"] = ", ".join(methods_of(request.app.openapi(), request.scope["route"].path_format))
    return problem(Trouble(error.status_code, str(error.detail), headers=headers), request.state.request_id)


async def _not_valid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    return problem(invalid(error.errors()), request.state.request_id)
