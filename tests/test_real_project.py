"""The same promises on a real project: ``SUPABASE_URL=… SUPABASE_KEY=… pytest -m real``.

Needs a table ``contests`` as in ``tests/conformance`` (any rows) that the key may read. Nothing is written unless
``SUPALAB_REAL_WRITES=1`` says so; then rows with ids from 1,000,000 up come and go. Nothing here knows the lab.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable

import httpx
import pytest
import requests

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, SupabaseAsync
from supalab.clients.base import Client
from supalab.clients.session import SessionSupabaseAsync
from supalab.errors import ApiError
from supalab.filters import any_of, gte, in_, like, literally

URL, KEY = os.environ.get("SUPABASE_URL"), os.environ.get("SUPABASE_KEY") or None
pytestmark = [pytest.mark.real, pytest.mark.skipif(not URL, reason="SUPABASE_URL is not set")]
RUNGS: dict[str, Callable[..., Client]] = {
    "fake": FakeSupabaseAsync,
    "session": SessionSupabaseAsync,
    "article": ArticleSupabaseAsync,
    "real": SupabaseAsync,
}
REFUSALS = (ApiError, httpx.HTTPStatusError, requests.HTTPError)
BASE = 1_000_000


@pytest.fixture(params=list(RUNGS))
async def db(request: pytest.FixtureRequest) -> AsyncIterator[Client]:
    """Each rung in turn."""
    async with RUNGS[request.param](URL, KEY) as client:
        yield client


async def test_rows_arrive_in_order(db: Client) -> None:
    """Columns, order and limit mean what they say."""
    rows = await db.select("contests", columns="id,title", order="id.desc", limit=5)
    assert [row["id"] for row in rows] == sorted((row["id"] for row in rows), reverse=True)
    assert all(set(row) == {"id", "title"} for row in rows)


async def test_a_count_is_the_number_of_rows(db: Client) -> None:
    """With rows and alone."""
    some = await db.select("contests", columns="id", limit=3, count="exact")
    alone = await db.select("contests", count="exact", head=True)
    assert (alone.total, list(alone)) == (some.total, [])
    assert len(some) == min(3, some.total or 0)


async def test_a_row_finds_itself_by_every_text(db: Client) -> None:
    """Whatever stands in the titles: equal, in a list, in a group, as a literal pattern."""
    for row in await db.select("contests", columns="id,title", order="id", limit=5):
        title, own = row["title"], {"id": row["id"]}
        for condition in (title, in_([title, 'a,b"c\\']), like(literally(title))):
            assert await db.select("contests", columns="id,title", filters=[own, {"title": condition}]) == [row]
            group = any_of({"title": condition, **own}, {"id": -1})
            assert await db.select("contests", columns="id,title", filters=group) == [row]
        assert await db.select("contests", columns="id,title", filters=own, single=True) == row
    assert await db.select("contests", filters={"id": -1}, maybe_single=True) is None


async def test_errors_are_errors(db: Client) -> None:
    """A table and a column that are not there, and a row that is none."""
    for call in (
        db.select("no_such_table_anywhere"),
        db.select("contests", columns="no_such_column"),
        db.select("contests", filters={"id": -1}, single=True),
    ):
        with pytest.raises(REFUSALS):
            await call


async def test_many_at_once_all_arrive(db: Client) -> None:
    """Thirty calls over the limit's connections."""
    results = await asyncio.gather(*(db.select("contests", columns="id", order="id", limit=2) for _ in range(30)))
    assert results == [results[0]] * 30


@pytest.mark.parametrize("size", [3, 5000])
async def test_pages_are_the_whole_table(size: int) -> None:
    """As many rows as the count says, each once, even where the server cuts."""
    async with SupabaseAsync(str(URL), KEY) as db:
        ids = [row["id"] async for page in db.pages("contests", columns="id", size=size) for row in page]
        total = (await db.select("contests", count="exact", head=True)).total
    assert ids == sorted(set(ids))
    assert len(ids) == total


@pytest.mark.skipif(not os.environ.get("SUPALAB_REAL_WRITES"), reason="SUPALAB_REAL_WRITES is not set")
async def test_a_row_lives_through_every_write(db: Client) -> None:
    """Insert, update, upsert, delete, each returning the rows as they are."""
    title = "Zoë's 🙂 +%&=#\"\\ cup"
    row = {"id": BASE, "title": title, "url": "https://contests.test/real"}
    await db.delete("contests", filters={"id": gte(BASE)}, return_="minimal")
    try:
        (new,) = await db.insert("contests", row)
        assert new["title"] == title
        with pytest.raises(REFUSALS, match="409"):
            await db.insert("contests", row)
        (changed,) = await db.update("contests", {"prize": 5}, filters={"title": title}, columns="id,prize")
        assert changed == {"id": BASE, "prize": 5}
        (merged,) = await db.upsert("contests", {**row, "title": "Merged"})
        assert (merged["title"], merged["prize"]) == ("Merged", 5)
    finally:
        gone = await db.delete("contests", filters={"id": gte(BASE)}, columns="id")
    assert gone == [{"id": BASE}]
