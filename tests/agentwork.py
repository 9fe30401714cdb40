"""Helpers for the service's tests: an app with its lifespan, and a client that calls it without a socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx

from supalab import Lab
from supalab.contest_agent.app import create_app
from supalab.contest_agent.options import TIMEOUT_S, AgentOptions
from supalab.settings import Settings

#: Each kind of client that the service can use.
CLIENTS = ["fake-3", "session-10", "article-10", "real-10"]
PROBLEM_KEYS = {"type", "title", "status", "detail", "request_id", "errors"}


def options_for(lab: Lab, client: str, **more: Any) -> AgentOptions:
    """Return the options of a service on ``lab``."""
    return AgentOptions(client, Settings(**{"url": lab.url, "key": lab.key, "timeout": TIMEOUT_S, **more}))


@asynccontextmanager
async def caller_of(options: AgentOptions) -> AsyncIterator[httpx.AsyncClient]:
    """Run the app's lifespan around a client that calls it."""
    app = create_app(options)
    async with (
        app.router.lifespan_context(app),
        # The service should answer for a bug itself, as behind a real server.
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://agent.test") as caller,
    ):
        yield caller


def problem_in(response: httpx.Response, status: int) -> dict[str, Any]:
    """Check the shape of an error response, and return the problem in it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = response.json()
    assert body.keys() == PROBLEM_KEYS
    assert body["status"] == status
    assert body["request_id"] == response.headers["x-request-id"]
    return body
