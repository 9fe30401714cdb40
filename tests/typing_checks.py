"""Only read by mypy, never run: the types of the client's results, and the calls that it must reject."""

from __future__ import annotations

from typing import Any, assert_type

from supalab import SupabaseAsync
from supalab.clients.base import Client
from supalab.filters import Filter, Group, any_of, any_value, gte, ilike, in_
from supalab.replies import Rows


async def reads(db: Client) -> None:
    assert_type(await db.select("t"), Rows)
    assert_type(await db.select("t", columns=["id"], filters={"id": [gte(1)]}, order="id", limit=1, offset=2), Rows)
    assert_type(await db.select("t", count="exact", head=True), Rows)
    assert_type(await db.select("t", single=True), dict[str, Any])
    assert_type(await db.select("t", order="id.desc", limit=1, single=True), dict[str, Any])
    assert_type(await db.select("t", maybe_single=True), dict[str, Any] | None)
    assert_type(await db.select("t", filters={"id": 1}, order="id", limit=1, maybe_single=True), dict[str, Any] | None)
    rows = await db.select("t")
    assert_type(rows[0], dict[str, Any])
    assert_type(rows.total, int | None)
    assert_type(rows.truncated, bool | None)


async def writes(db: Client) -> None:
    assert_type(await db.insert("t", {"id": 1}), Rows)
    assert_type(await db.insert("t", [{"id": 1}], return_="minimal"), Rows)
    assert_type(await db.upsert("t", [{"id": 1}], on_conflict="id"), Rows)
    assert_type(await db.update("t", {"a": None}, filters={"id": 1}), Rows)
    assert_type(await db.delete("t", filters=any_of({"id": 1}, {"id": in_([2, 3])})), Rows)


async def more(db: SupabaseAsync) -> None:
    assert_type(SupabaseAsync.from_env(limit=3), SupabaseAsync)
    async for page in db.pages("t", key="id"):
        assert_type(page, Rows)
    assert_type(await db.insert_many("t", ({"id": n} for n in range(3)), progress=print), int)
    async with SupabaseAsync("http://db.test", None) as other:
        assert_type(other, SupabaseAsync)


def filters() -> None:
    assert_type(~gte(1), Filter)
    assert_type(~any_of({"a": 1}, {"b": None}), Group)
    assert_type(any_value(ilike, ["a*"]), Filter)


async def mistakes(db: SupabaseAsync) -> None:
    await db.select("t", count="all")  # type: ignore[call-overload]
    await db.select("t", single=True, maybe_single=True)  # type: ignore[call-overload]
    await db.select("t", filters="id=eq.1")  # type: ignore[arg-type]
    await db.insert("t", {"id": 1}, return_="all")  # type: ignore[arg-type]
    await db.update("t", {"a": 1})  # type: ignore[call-arg]
    await db.delete("t")  # type: ignore[call-arg]
    SupabaseAsync("http://db.test")  # type: ignore[call-arg]
