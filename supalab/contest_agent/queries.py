"""What the service asks of its backend: a caller's wish flows in, contests flow out; any client can do the asking."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from supalab.contest_agent.models import Contest, Contests
from supalab.contest_agent.problems import Failed, status_of
from supalab.filters import gt, gte, ilike, in_, is_, literally

if TYPE_CHECKING:
    from supalab.clients.base import Client
    from supalab.contest_agent.models import Change, NewContest, Search, Upcoming
    from supalab.query_values import Condition
    from supalab.wire import Row

__all__ = ["add", "change", "found", "one", "upcoming"]

TABLE = "contests"
COLUMNS = list(Contest.model_fields)


async def found(db: Client, search: Search) -> Contests:
    """Return one page of the contests that fit, and how many there are."""
    rows: list[Row] = []
    try:
        rows = await db.select(
            TABLE,
            columns=COLUMNS,
            filters=_conditions(search),
            order=_order(search.order),
            limit=search.size,
            offset=(search.page - 1) * search.size,
            count="exact",
        )
        total = rows.total
    except Exception as error:
        if status_of(error) != 416:  # the page is behind the last one
            raise
        total = (await db.select(TABLE, columns="id", filters=_conditions(search), count="exact", head=True)).total
    if total is None:
        raise Failed(502, "the backend did not say how many contests there are")
    return Contests(
        items=[Contest.model_validate(row) for row in rows], total=total, page=search.page, size=search.size
    )


def _conditions(search: Search) -> dict[str, Condition]:
    wanted: dict[str, Any] = {
        "title": None if search.q is None else ilike(f"*{literally(search.q)}*"),
        "host": search.host,
        "status": search.status,
        "category": search.category,
        "prize": None if search.min_prize is None else gte(search.min_prize),
    }
    return {column: condition for column, condition in wanted.items() if condition is not None}


def _order(wanted: str) -> list[str]:
    column, direction = wanted.lstrip("-"), "desc" if wanted.startswith("-") else "asc"
    # Rows that are equal in one column would change places from page to page.
    return [f"{column}.{direction}.nullslast", *([] if column == "id" else ["id"])]


async def one(db: Client, number: int) -> Contest:
    """Return one contest; raises Failed (404), when there is none."""
    row = await db.select(TABLE, columns=COLUMNS, filters={"id": number}, maybe_single=True)
    if row is None:
        raise missing(number)
    return Contest.model_validate(row)


def missing(number: int) -> Failed:
    """No contest has this number."""
    return Failed(404, f"there is no contest {number}")


async def upcoming(db: Client, wanted: Upcoming) -> list[Contest]:
    """Return the next deadlines: one query for each category, all at once, merged by their day."""
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_next_of(db, category, wanted)) for category in dict.fromkeys(wanted.category)]
    contests = [contest for task in asked for contest in task.result()]
    return sorted(contests, key=lambda contest: (_moment(contest.ends_at), contest.id))


async def _next_of(db: Client, category: str, wanted: Upcoming) -> list[Contest]:
    rows = await db.select(
        TABLE,
        columns=COLUMNS,
        filters={
            "category": category,
            "status": in_(["upcoming", "open"]),
            "ends_at": ~is_(None) if wanted.after is None else gt(_in_utc(wanted.after)),
        },
        order="ends_at,id",
        limit=wanted.each,
    )
    return [Contest.model_validate(row) for row in rows]


def _moment(when: datetime | None) -> datetime:
    """The moment itself; a column without time zones holds UTC."""
    assert when is not None  # asked for
    return when if when.tzinfo else when.replace(tzinfo=UTC)


async def add(db: Client, new: NewContest) -> Contest:
    """Insert a contest and return it as the backend has it."""
    rows = await db.insert(TABLE, _row(new), columns=COLUMNS)
    return Contest.model_validate(rows[0])


async def change(db: Client, number: int, changes: Change) -> Contest:
    """Change a contest and return it as it is now; raises Failed (404), when there is none."""
    rows = await db.update(TABLE, _row(changes), filters={"id": number}, columns=COLUMNS)
    if not rows:
        raise missing(number)
    return Contest.model_validate(rows[0])


def _row(written: NewContest | Change) -> dict[str, Any]:
    values = written.model_dump(exclude_unset=True)
    return {name: _in_utc(value) if isinstance(value, datetime) else value for name, value in values.items()}


def _in_utc(when: datetime) -> str:
    """ISO 8601 with a Z, as the table has it, so that texts sort as moments do."""
    try:
        return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:  # the first and the last day of all
        return when.isoformat()
