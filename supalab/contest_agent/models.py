"""What goes over the service's wire: contests in and out, checked by pydantic, described in the OpenAPI document."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, Any, Literal, Self, TypeAlias, get_args

from pydantic import AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

__all__ = ["CATEGORIES", "Change", "Contest", "ContestId", "Contests", "Deadlines", "Health", "NewContest", "Search"]

#: PostgreSQL's ``integer``.
LARGEST = 2**31 - 1
Category: TypeAlias = Literal["tabular", "vision", "nlp", "speech", "rl", "other"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
Status: TypeAlias = Literal["upcoming", "open", "closed"]
Order: TypeAlias = Literal[
    "id", "-id", "title", "-title", "prize", "-prize", "starts_at", "-starts_at", "ends_at", "-ends_at"
]
ContestId: TypeAlias = Annotated[int, Field(ge=1, le=LARGEST, description="A contest's number.")]
Prize: TypeAlias = Annotated[int, Field(ge=0, le=LARGEST, description="Whole units of money.")]
TeamSize: TypeAlias = Annotated[int, Field(ge=1, le=1_000)]
DATE_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d.*")


def _written_out(value: object) -> object:
    """Refuse numbers, which pydantic would take for seconds since 1970."""
    if not isinstance(value, datetime) and not (isinstance(value, str) and DATE_TIME.fullmatch(value)):
        raise ValueError("write date and time as 2026-04-01T12:00:00Z")
    return value


Moment: TypeAlias = Annotated[AwareDatetime, BeforeValidator(_written_out)]
#: No NUL: PostgreSQL cannot store one in a text.
Words: TypeAlias = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00]+$")]
Prose: TypeAlias = Annotated[str, Field(max_length=5_000, pattern=r"^[^\x00]*$")]
Address: TypeAlias = Annotated[
    str,
    Field(
        max_length=500,
        pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[!-~]*)?$",
        examples=["https://contests.test/c/9"],
    ),
]


class Contest(BaseModel):
    """A contest as the backend has it."""

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


class Contests(BaseModel):
    """One page of what was found."""

    items: list[Contest]
    total: int = Field(description="How many contests fit, on all pages together.")
    page: int
    size: int


class Deadlines(BaseModel):
    """Contests by their last day, the next one first."""

    items: list[Contest]


class Health(BaseModel):
    """How the service is."""

    status: Literal["ok"] = "ok"
    client: str = Field(description="The arm whose client talks to the backend.", examples=["real-10"])


class Search(BaseModel):
    """Which contests, in which order, which page of them."""

    model_config = ConfigDict(extra="forbid")

    q: Words | None = Field(None, description="Text that the title contains, in upper or lower case.")
    host: Words | None = None
    status: Status | None = None
    category: Category | None = None
    min_prize: Prize | None = Field(None, description="The least prize, in whole units of money.")
    order: Order = Field("id", description="A leading minus turns the order round; what is empty comes last.")
    page: int = Field(1, ge=1, le=1_000_000)
    size: int = Field(20, ge=1, le=100)


class Upcoming(BaseModel):
    """Which deadlines."""

    model_config = ConfigDict(extra="forbid")

    category: list[Category] = Field([*CATEGORIES], min_length=1, max_length=len(CATEGORIES))
    after: Moment | None = Field(None, description="Leave out what ends before this moment.")
    each: int = Field(5, ge=1, le=20, description="The most contests of one category.")


class _Written(BaseModel):
    """What new contests and changes have in common."""

    model_config = ConfigDict(extra="forbid")

    host: Words | None = None
    category: Category | None = None
    prize: Prize | None = None
    starts_at: Moment | None = None
    ends_at: Moment | None = None
    url: Address | None = None
    team_size_max: TeamSize | None = None
    description: Prose | None = None

    @model_validator(mode="after")
    def _ends_after_its_start(self) -> Self:
        if self.starts_at and self.ends_at and self.ends_at <= self.starts_at:
            raise ValueError("ends_at must be later than starts_at")
        return self


class NewContest(_Written):
    """A contest to add; the backend gives no numbers, so ``id`` is the caller's choice."""

    id: ContestId
    title: Words
    status: Status = "upcoming"


def _left_out() -> Any:
    """Stand in for a field that must not be null and may be left out."""
    return None


class Change(_Written):
    """What to change of a contest; what is left out stays, null empties a field."""

    model_config = ConfigDict(json_schema_extra={"minProperties": 1})

    title: Words = Field(default_factory=_left_out)
    status: Status = Field(default_factory=_left_out)

    @model_validator(mode="after")
    def _changes_something(self) -> Self:
        if not self.model_fields_set:
            raise ValueError("nothing to change was given")
        return self
