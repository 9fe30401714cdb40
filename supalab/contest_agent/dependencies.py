"""What routes are given: the app flows in, its one client or its meters flow out."""

from __future__ import annotations

from typing import Annotated, TypeAlias, cast

from fastapi import Depends, Request

from supalab.clients.base import Client
from supalab.contest_agent.metrics import Meters
from supalab.contest_agent.options import AgentOptions

__all__ = ["Database", "Measured", "Started"]


# All are async: FastAPI would run a plain function in a thread.
async def _database(request: Request) -> Client:
    return cast("Client", request.app.state.db)


async def _meters(request: Request) -> Meters:
    return cast("Meters", request.app.state.meters)


async def _options(request: Request) -> AgentOptions:
    return cast("AgentOptions", request.app.state.options)


Database: TypeAlias = Annotated[Client, Depends(_database)]
Measured: TypeAlias = Annotated[Meters, Depends(_meters)]
Started: TypeAlias = Annotated[AgentOptions, Depends(_options)]
