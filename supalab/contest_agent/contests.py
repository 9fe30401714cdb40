"""The routes about contests. Pydantic checks what callers send and what the backend returns.

The types are also the OpenAPI document's schemas.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Literal, Self, TypeAlias, cast, get_args

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, model_validator
from starlette.exceptions import HTTPException

from supalab.clients.base import Client
from supalab.contest_agent.problems import BROKEN, declared, status_of
from supalab.filters import gt, gte, ilike, in_, is_, literally
from supalab.wire import Row

TABLE = "contests"
LARGEST = 2**31 - 1  # PostgreSQL's ``integer``
Category: TypeAlias = Literal["tabular", "vision", "nlp", "speech", "rl", "other"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
Status: TypeAlias = Literal["upcoming", "open", "closed"]
Order: TypeAlias = Literal[
    "id", "-id", "title", "-title", "prize", "-prize", "starts_at", "-starts_at", "ends_at", "-ends_at"
]
ContestId: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST, description="A contest's number.")]
Prize: TypeAlias = Annotated[int, Field(ge=0, le=LARGEST, description="Whole units of money.")]
# No NUL: PostgreSQL cannot store one in a text.
ShortText: TypeAlias = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
LongText: TypeAlias = Annotated[str, Field(max_length=5_000, pattern=r"^[^\x00]*$")]
ADDRESS = r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?$"
Address: TypeAlias = Annotated[str, Field(max_length=500, pattern=ADDRESS, examples=["https://contests.test/c/9"])]
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*")


def _written_out(value: object) -> object:
    """Refuse numbers, which pydantic would take for seconds since 1970."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and DATE_TIME.fullmatch(value)):
        raise ValueError("write date and time as 2026-04-01T12:00:00Z")
    return value


def _in_utc(when: datetime) -> str:
    """Return ISO 8601 with a Z, as the table has it, so that the order of texts is the order of moments."""
    try:
        return when.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:  # the first and the last day that Python knows
        return when.isoformat()


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_written_out), PlainSerializer(_in_utc)]


class Contest(BaseModel):
    """A contest as the backend returns it."""

    # Any bound, however wide, makes pydantic refuse texts that UTF-8 cannot encode.
    model_config = ConfigDict(str_min_length=0)

    id: int
    title: str
    host: str | None = None
    category: str | None = None
    prize: int | None = Field(None, description="Whole units of money.")
    status: str | None = None
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    url: str | None = None
    team_size_max: int | None = None
    description: str | None = None


COLUMNS = list(Contest.model_fields)


class Contests(BaseModel):
    """One page of the contests that were found."""

    items: list[Contest]
    total: int = Field(description="How many contests fit, on all pages together.")
    page: int
    size: int


class Deadlines(BaseModel):
    """Contests in the order of their last day, the next one first."""

    items: list[Contest]


class Asked(BaseModel):
    """The base of what a caller sends; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class Search(Asked):
    """The arguments of a search: which contests, in which order, and which page of them."""

    q: ShortText | None = Field(None, description="Text that the title contains, in upper or lower case.")
    host: ShortText | None = None
    status: Status | None = None
    category: Category | None = None
    min_prize: Prize | None = Field(None, description="The least prize, in whole units of money.")
    order: Order = Field("id", description="A leading minus reverses the order; empty values come last.")
    page: int = Field(1, ge=1, le=1_000_000)
    size: int = Field(20, ge=1, le=100)


class Upcoming(Asked):
    """The arguments of a query for deadlines."""

    category: list[Category] = Field([*CATEGORIES], min_length=1, max_length=len(CATEGORIES))
    after: Moment | None = Field(None, description="Leave out contests that end before this moment.")
    each: int = Field(5, ge=1, le=20, description="The most contests of one category.")


class _Written(Asked):
    """The fields that new contests and changes have in common."""

    host: ShortText | None = None
    category: Category | None = None
    prize: Prize | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    url: Address | None = None
    team_size_max: Annotated[int, Field(ge=1, le=1_000)] | None = None
    description: LongText | None = None

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError("ends_at must be later than starts_at")
        return self

    @property
    def row(self) -> dict[str, Any]:
        """Return the given fields in the table's form."""
        return self.model_dump(exclude_unset=True)


class NewContest(_Written):
    """A contest to add; the backend does not number contests, so the caller chooses ``id``."""

    id: ContestId
    title: ShortText
    status: Status = "upcoming"


#: For a field that may be left out but must not be null.
LEFT_OUT: Any = Field(default_factory=lambda: None)


class Change(_Written):
    """The fields to change of a contest; a field that is left out stays as it is, null empties it."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    title: ShortText = LEFT_OUT
    status: Status = LEFT_OUT

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing to change was given")
        return self


# It is async, because FastAPI would run a plain function in a thread.
async def _client(request: Request) -> Client:
    return cast("Client", request.app.state.client)


Database: TypeAlias = Annotated[Client, Depends(_client)]
contests = APIRouter(tags=["contests"], responses=declared(422, 502, 503, 504))


@contests.get("/contests")
async def search_contests(db: Database, search: Annotated[Search, Query()]) -> Contests:
    """List and search contests."""
    filters: dict[str, Any] = search.model_dump(include={"host", "status", "category"}, exclude_none=True)
    if search.q is not None:
        filters["title"] = ilike(f"*{literally(search.q)}*")
    if search.min_prize is not None:
        filters["prize"] = gte(search.min_prize)
    column, direction = search.order.lstrip("-"), "desc" if search.order.startswith("-") else "asc"
    # Without the id, rows that are equal in one column could change places between pages.
    order = [f"{column}.{direction}.nullslast", *([] if column == "id" else ["id"])]
    offset = (search.page - 1) * search.size
    try:
        rows = await db.select(
            TABLE, columns=COLUMNS, filters=filters, order=order, limit=search.size, offset=offset, count="exact"
        )
    except Exception as error:
        if status_of(error) != 416:  # the page is behind the last one
            raise
        rows = await db.select(TABLE, columns="id", filters=filters, count="exact", head=True)
    if rows.total is None:
        raise HTTPException(502, "the backend did not say how many contests there are")
    return Contests(items=_checked(rows), total=rows.total, page=search.page, size=search.size)


@contests.get("/contests/{contest_id}", responses=declared(404))
async def get_contest(db: Database, contest_id: ContestId) -> Contest:
    """Return one contest."""
    row = await db.select(TABLE, columns=COLUMNS, filters={"id": contest_id}, maybe_single=True)
    return _the_one([] if row is None else [row], contest_id)


@contests.get("/deadlines")
async def get_deadlines(db: Database, wanted: Annotated[Upcoming, Query()]) -> Deadlines:
    """Return the next deadlines of contests that are open or upcoming."""
    # One query for each category, all at once, merged by their day.
    async with asyncio.TaskGroup() as group:
        asked = [group.create_task(_next_of(db, category, wanted)) for category in dict.fromkeys(wanted.category)]
    return Deadlines(items=sorted((one for task in asked for one in task.result()), key=_last_day))


async def _next_of(db: Client, category: str, wanted: Upcoming) -> list[Contest]:
    ends_at = ~is_(None) if wanted.after is None else gt(_in_utc(wanted.after))
    filters: dict[str, Any] = {"category": category, "status": in_(["upcoming", "open"]), "ends_at": ends_at}
    return _checked(await db.select(TABLE, columns=COLUMNS, filters=filters, order="ends_at,id", limit=wanted.each))


def _last_day(contest: Contest) -> tuple[datetime, int]:
    """Return a sort key: the last day as a moment, then the number; a column without time zones holds UTC."""
    if contest.ends_at is None:
        raise BROKEN  # contests without an end were not asked for
    return contest.ends_at if contest.ends_at.tzinfo else contest.ends_at.replace(tzinfo=UTC), contest.id


@contests.post("/contests", status_code=201, responses=declared(408, 409, 413))
async def add_contest(db: Database, new: NewContest, response: Response) -> Contest:
    """Add a contest."""
    added = _the_one(await db.insert(TABLE, new.row, columns=COLUMNS), new.id, none=BROKEN)
    response.headers["Location"] = f"/contests/{new.id}"
    return added


@contests.patch("/contests/{contest_id}", responses=declared(404, 408, 409, 413))
async def change_contest(db: Database, contest_id: ContestId, changes: Change) -> Contest:
    """Change a contest."""
    rows = await db.update(TABLE, changes.row, filters={"id": contest_id}, columns=COLUMNS)
    return _the_one(rows, contest_id)


def _checked(rows: Sequence[Row]) -> list[Contest]:
    """Read rows from the backend; raises pydantic's ValidationError for a row that is not a contest."""
    return [Contest.model_validate(row) for row in rows]


def _the_one(rows: Sequence[Row], contest_id: int, none: HTTPException | None = None) -> Contest:
    """Return the contest with this number; raises HTTPException: ``none`` (404) without a row, 502 for a wrong row."""
    if not rows:
        raise none or HTTPException(404, f"there is no contest {contest_id}")
    found = _checked(rows)
    if [one.id for one in found] != [contest_id]:
        raise BROKEN
    return found[0]
