"""The service's routes: a checked request and the client flow in, a typed answer flows out."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from supalab.contest_agent import queries
from supalab.contest_agent.dependencies import Database, Measured, Started
from supalab.contest_agent.metrics import CONTENT_TYPE
from supalab.contest_agent.models import (
    Change,
    Contest,
    ContestId,
    Contests,
    Deadlines,
    Health,
    NewContest,
    Search,
    Upcoming,
)
from supalab.contest_agent.problems import Failed, Problem

__all__ = ["contests", "operations"]

READY_WITHIN_S = 2.0


def _may(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Declare what can go wrong, so that the OpenAPI document says it."""
    return {status: {"model": Problem} for status in statuses}


contests = APIRouter(tags=["contests"], responses=_may(422, 502, 503, 504))
operations = APIRouter(tags=["operations"])


@contests.get("/contests")
async def search_contests(db: Database, search: Annotated[Search, Query()]) -> Contests:
    """List and search contests."""
    return await queries.found(db, search)


@contests.get("/contests/{contest_id}", responses=_may(404))
async def get_contest(db: Database, contest_id: ContestId) -> Contest:
    """Return one contest."""
    return await queries.one(db, contest_id)


@contests.get("/deadlines")
async def get_deadlines(db: Database, wanted: Annotated[Upcoming, Query()]) -> Deadlines:
    """Return the next deadlines of contests that are open or upcoming."""
    return Deadlines(items=await queries.upcoming(db, wanted))


@contests.post("/contests", status_code=201, responses=_may(400, 409, 413))
async def add_contest(db: Database, new: NewContest, response: Response) -> Contest:
    """Add a contest."""
    added = await queries.add(db, new)
    response.headers["Location"] = f"/contests/{added.id}"
    return added


@contests.patch("/contests/{contest_id}", responses=_may(400, 404, 409, 413))
async def change_contest(db: Database, contest_id: ContestId, changes: Change) -> Contest:
    """Change some of a contest."""
    return await queries.change(db, contest_id, changes)


@operations.get("/health")
async def get_health(options: Started) -> Health:
    """Say that the process lives; the backend is not asked, since a restart would not mend it."""
    return Health(client=options.client)


@operations.get("/ready", responses=_may(503))
async def get_readiness(db: Database, options: Started) -> Health:
    """Say whether requests can be served now: the backend is asked for one row."""
    try:
        async with asyncio.timeout(min(READY_WITHIN_S, options.timeout)):
            await db.select("contests", columns="id", limit=1)
    except Exception as error:
        raise Failed(503, "the backend does not answer as it should", retry=True) from error
    return Health(client=options.client)


@operations.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}, "description": "Prometheus' text."}},
)
async def get_metrics(meters: Measured) -> Response:
    """Return the counts in Prometheus' text format."""
    return Response(meters.text(), media_type=CONTENT_TYPE)
