"""The official client's habits work against the lab: both its kinds, over HTTP, reading and writing for real."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from postgrest import APIError, AsyncPostgrestClient, CountMethod, SyncPostgrestClient

from supalab import Lab

BASE = 2_000_000

# The official client opens its own connections and leaves some of them to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")


async def done(request: Any) -> Any:
    """Execute a request of either kind; maybe_single without a row is None."""
    answer = request.execute()
    return await answer if inspect.isawaitable(answer) else answer


@pytest.fixture(params=["async", "sync"])
async def official(request: pytest.FixtureRequest, lab: Lab) -> AsyncIterator[Any]:
    """The official client of both kinds; what a test wrote is gone afterwards."""
    headers = {"apikey": lab.key, "Authorization": f"Bearer {lab.key}"}
    kind = AsyncPostgrestClient if request.param == "async" else SyncPostgrestClient
    client: Any = kind(f"{lab.url}/rest/v1", headers=headers)
    yield client
    await done(client.from_("contests").delete().gte("id", BASE))
    closing = client.aclose()
    if inspect.isawaitable(closing):
        await closing


@pytest.fixture(scope="module")
def titles(lab: Lab) -> Iterator[dict[int, str]]:
    """All titles by id, read by hand: the yardstick."""
    import json
    import urllib.request

    request = urllib.request.Request(f"{lab.url}/rest/v1/contests?select=id,title", headers={"apikey": lab.key})
    with urllib.request.urlopen(request, timeout=10) as answer:
        yield {row["id"]: row["title"] for row in json.load(answer)}


async def test_select_with_filters_order_range_and_count(official: Any, titles: dict[int, str]) -> None:
    """What people write every day: filters, an order, a page, and how many there are in all."""
    wanted = sorted(number for number, title in titles.items() if 10 <= number < 200 and "a" in title.lower())
    answer = await done(
        official.from_("contests")
        .select("id, name:title", count=CountMethod.exact)
        .gte("id", 10)
        .lt("id", 200)
        .ilike("title", "%a%")
        .order("id", desc=True)
        .range(5, 9)
    )
    assert answer.count == len(wanted)
    assert answer.data == [{"id": n, "name": titles[n]} for n in list(reversed(wanted))[5:10]]


async def test_or_in_not_and_text_with_every_sign(official: Any) -> None:
    """or_, in_, not_ and values with commas, quotes, brackets and backslashes find exactly their row."""
    odd = 'a,b "c" (d) \\e. f:g %*'
    await done(official.from_("contests").insert({"id": BASE, "title": odd, "url": "https://contests.test/o"}))
    assert [r["id"] for r in (await done(official.from_("contests").select("id").eq("title", odd))).data] == [BASE]
    assert [r["id"] for r in (await done(official.from_("contests").select("id").in_("title", [odd]))).data] == [BASE]
    either = await done(official.from_("contests").select("id").or_("id.eq.1,id.eq.2").order("id"))
    assert [row["id"] for row in either.data] == [1, 2]
    rest = await done(official.from_("contests").select("id").lt("id", 5).not_.in_("id", [1, 2]).order("id"))
    assert [row["id"] for row in rest.data] == [3, 4]
    null = await done(official.from_("contests").select("id").is_("url", "null").eq("id", BASE))
    assert null.data == []


async def test_single_and_maybe_single(official: Any) -> None:
    """single insists on one row, maybe_single forgives none."""
    one = await done(official.from_("contests").select("id").eq("id", 7).single())
    assert one.data == {"id": 7}
    with pytest.raises(APIError) as caught:
        await done(official.from_("contests").select("id").lt("id", 3).single())
    assert caught.value.code == "PGRST116"
    there = await done(official.from_("contests").select("id").eq("id", 7).maybe_single())
    assert there.data == {"id": 7}
    missing = await done(official.from_("contests").select("id").eq("id", 0).maybe_single())
    assert missing is None or not missing.data


async def test_rows_live_through_insert_upsert_update_and_delete(official: Any) -> None:
    """Each write answers with the rows as they now are; the official client adds columns= and a body to deletes."""
    table = official.from_("contests")
    new = await done(table.insert([{"id": BASE + 1, "title": "one"}, {"id": BASE + 2, "title": "two", "prize": 5}]))
    assert [(row["id"], row["prize"]) for row in new.data] == [(BASE + 1, None), (BASE + 2, 5)]
    up = await done(table.upsert([{"id": BASE + 2, "title": "deux"}, {"id": BASE + 3, "title": "trois"}]))
    assert [(row["title"], row["prize"]) for row in up.data] == [("deux", 5), ("trois", None)]
    kept = await done(table.upsert({"id": BASE + 3, "title": "ignored"}, ignore_duplicates=True))
    assert kept.data == []
    changed = await done(table.update({"prize": 9}).gte("id", BASE).neq("title", "one"))
    assert sorted((row["id"], row["prize"]) for row in changed.data) == [(BASE + 2, 9), (BASE + 3, 9)]
    gone = await done(table.delete(count=CountMethod.exact).gte("id", BASE))
    assert gone.count == 3
    assert (await done(table.select("id", head=True, count=CountMethod.exact).gte("id", BASE))).count == 0


async def test_errors_carry_postgrests_code(official: Any) -> None:
    """A duplicate key, an unknown column, a delete of everything: the codes that code in the wild checks for."""
    cases = [
        (official.from_("contests").insert({"id": 1, "title": "again"}), "23505"),
        (official.from_("contests").select("nope"), "42703"),
        (official.from_("nope").select("*"), "PGRST205"),
        (official.from_("contests").delete(), "21000"),
    ]
    for request, code in cases:
        with pytest.raises(APIError) as caught:
            await done(request)
        assert caught.value.code == code


async def test_a_function_can_be_called(official: Any) -> None:
    """rpc with named arguments."""
    top = await done(official.rpc("top_contests", {"how_many": 2}))
    assert len(top.data) == 2
