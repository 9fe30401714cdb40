"""One contract for every client of the course: the same calls, the same rows, whatever is underneath."""

from __future__ import annotations

import asyncio
import gc
import os
import time
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import pytest
import requests

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, Lab, SupabaseAsync
from supalab.clients.base import Client, slot_taken
from supalab.clients.session import SessionSupabaseAsync
from supalab.clients.transports import httpx_transport
from supalab.clients.variants import BlockingSupabaseAsync, GatedSupabaseAsync, HttpxInThreads, KeptSupabaseAsync
from supalab.errors import ApiError, SettingsError
from supalab.filters import any_of, gte, ilike, in_, lt

RUNGS: dict[str, Callable[..., Client]] = {
    "fake": FakeSupabaseAsync,
    "session": SessionSupabaseAsync,
    "article": ArticleSupabaseAsync,
    "real": SupabaseAsync,
    "real over httpx": partial(SupabaseAsync, transport=httpx_transport),
    "blocking": BlockingSupabaseAsync,
    "httpx in threads": HttpxInThreads,
    "kept": KeptSupabaseAsync,
    "gated": GatedSupabaseAsync,
}
#: What an error status raises: the teaching clients raise their library's exception, ours has its own exceptions.
STATUS_ERROR: dict[str, type[Exception]] = {
    "fake": requests.HTTPError,
    "session": requests.HTTPError,
    "article": httpx.HTTPStatusError,
    "real": ApiError,
    "real over httpx": ApiError,
    "blocking": requests.HTTPError,
    "httpx in threads": httpx.HTTPStatusError,
    "kept": httpx.HTTPStatusError,
    "gated": httpx.HTTPStatusError,
}
BASE = 1_000_000  # ids of rows that these tests write


@pytest.fixture(params=list(RUNGS))
def rung(request: pytest.FixtureRequest) -> str:
    """Each client of the course in turn."""
    return str(request.param)


@pytest.fixture
async def db(rung: str, lab: Lab) -> AsyncIterator[Client]:
    """A client of this kind on the lab; rows that a test wrote are removed afterwards."""
    async with RUNGS[rung](lab.url, lab.key) as client:
        yield client
        await client.delete("contests", filters={"id": gte(BASE)}, return_="minimal")


def contest(number: int, **more: Any) -> dict[str, Any]:
    return {"id": BASE + number, "title": f"Test {number}", "url": f"https://contests.test/t/{number}"} | more


async def test_select_reads_the_rows_asked_for(db: Client) -> None:
    """Columns, filters, order, limit and offset arrive at the server."""
    rows = await db.select("contests", columns="id,prize", filters={"id": lt(100)}, order="id.desc", limit=3, offset=1)
    assert [row["id"] for row in rows] == [98, 97, 96]
    assert set(rows[0]) == {"id", "prize"}


async def test_conditions_combine(db: Client) -> None:
    """or, in, ilike and not give the same rows as Python's own filtering of all rows."""
    everything = await db.select("contests", order="id")
    wanted = any_of({"prize": gte(20_000)}, {"title": ilike("*cup*")})
    rows = await db.select("contests", filters=[wanted, {"status": ~in_(["closed"])}], order="id")
    expected = [
        row
        for row in everything
        if ((row["prize"] or 0) >= 20_000 or "cup" in row["title"].lower()) and row["status"] not in (None, "closed")
    ]
    assert rows == expected
    assert 0 < len(rows) < len(everything)


async def test_a_count_comes_with_the_rows_or_alone(db: Client) -> None:
    """count="exact" fills total; with head nothing else is sent."""
    page = await db.select("contests", filters={"id": lt(100)}, limit=5, count="exact")
    assert (len(page), page.total, page.truncated) == (5, 99, False)
    counted = await db.select("contests", filters={"id": lt(100)}, count="exact", head=True)
    assert (list(counted), counted.total) == ([], 99)


async def test_single_is_one_row_or_an_error(db: Client, rung: str) -> None:
    """single wants exactly one row; maybe_single accepts none, but not two."""
    row = await db.select("contests", filters={"id": 7}, single=True)
    assert row["id"] == 7
    with pytest.raises(STATUS_ERROR[rung]) as caught:
        await db.select("contests", filters={"id": lt(3)}, single=True)
    assert "406" in str(caught.value)
    assert await db.select("contests", filters={"id": 0}, maybe_single=True) is None
    assert (await db.select("contests", filters={"id": 7}, maybe_single=True) or {})["id"] == 7
    with pytest.raises(ApiError, match="406"):
        await db.select("contests", filters={"id": lt(3)}, maybe_single=True)


async def test_a_row_lives_through_insert_update_upsert_and_delete(db: Client) -> None:
    """Every write returns the rows as they are, and a read agrees."""
    title = "Zoë's 🙂 +%&=#\"\\ cup"
    (new,) = await db.insert("contests", contest(1, title=title, prize=10))
    assert (new["title"], new["status"]) == (title, "upcoming")
    (changed,) = await db.update("contests", {"prize": None}, filters={"title": title}, columns="id,prize")
    assert changed == {"id": BASE + 1, "prize": None}
    (merged,) = await db.upsert("contests", contest(1, title="Merged"))
    assert (merged["title"], merged["status"]) == ("Merged", "upcoming")
    assert await db.upsert("contests", contest(1, title="Ignored"), ignore_duplicates=True) == []
    (by_url,) = await db.upsert("contests", contest(1, title="By url"), on_conflict="url")
    assert by_url["title"] == "By url"
    assert await db.select("contests", filters={"id": BASE + 1}, single=True) == by_url
    assert await db.delete("contests", filters={"id": BASE + 1}) == [by_url]
    assert await db.select("contests", filters={"id": BASE + 1}) == []


async def test_many_rows_go_in_at_once_or_not_at_all(db: Client, rung: str) -> None:
    """Rows may have different keys; one bad row prevents the insert of all."""
    assert await db.insert("contests", [contest(1), contest(2, prize=5)], return_="minimal") == []
    rows = await db.select("contests", columns="id,prize,status", filters={"id": gte(BASE)}, order="id")
    assert [(row["prize"], row["status"]) for row in rows] == [(None, "upcoming"), (5, "upcoming")]
    with pytest.raises(STATUS_ERROR[rung]) as caught:
        await db.insert("contests", [contest(3), contest(1)])
    assert "409" in str(caught.value)
    assert (await db.select("contests", filters={"id": gte(BASE)}, count="exact", head=True)).total == 2


async def test_a_function_can_be_called(db: Client) -> None:
    """rpc sends named arguments and returns what the function answers."""
    top = await db.rpc("top_contests", {"how_many": 3})
    best = await db.select("contests", order="prize.desc.nullslast", limit=3)
    assert [row["prize"] for row in top] == [row["prize"] for row in best]


@pytest.mark.parametrize(
    ("ask", "status"), [({"table": "nope"}, "404"), ({"table": "contests", "columns": "nope"}, "400")]
)
async def test_an_error_status_is_an_exception(db: Client, rung: str, ask: dict[str, str], status: str) -> None:
    """An error never looks like rows; our client has the server's message, the others their library's."""
    with pytest.raises(STATUS_ERROR[rung]) as caught:
        await db.select(**ask)
    assert status in str(caught.value)


async def test_a_wrong_key_is_refused_and_not_repeated(rung: str, lab: Lab) -> None:
    """401, and the key is in none of the exceptions' texts."""
    async with RUNGS[rung](lab.url, "sb_publishable_WRONGKEY") as client:
        with pytest.raises(STATUS_ERROR[rung]) as caught:
            await client.select("contests")
    assert "401" in str(caught.value)
    assert "WRONGKEY" not in str(caught.value)


async def test_arguments_that_cannot_work_are_refused_before_sending(db: Client, lab: Lab) -> None:
    """A bad name never reaches the server."""
    served = lab.witness().served
    for table in ("../auth/v1/admin", "a/b", ""):
        with pytest.raises(SettingsError):
            await db.select(table)
    with pytest.raises(SettingsError):
        await db.delete("contests", filters={})
    assert lab.witness().served == served


async def test_no_more_than_the_limit_is_in_flight(rung: str) -> None:
    """The witness counts: twenty callers, a limit of four, four requests in flight, and the slots are all used."""
    with Lab(latency=0.1) as slow:
        async with RUNGS[rung](slow.url, slow.key, limit=4) as client:
            await asyncio.gather(*(client.select("contests", limit=1) for _ in range(20)))
        seen = slow.witness()
    assert (seen.peak, seen.served) == (1 if rung == "blocking" else 4, 20)
    assert seen.connections == 20 if rung == "fake" else seen.connections <= 20


async def test_the_slot_is_reported_when_it_is_taken(rung: str) -> None:
    """With one slot and two callers, the second slot is reported a whole service time after the first."""
    latency = 0.2
    with Lab(latency=latency) as slow:
        async with RUNGS[rung](slow.url, slow.key, limit=1) as client:
            await client.select("contests", limit=1)  # connections and threads are there
            reported: dict[str, float] = {}

            async def caller(name: str) -> None:
                slot_taken.set(lambda: reported.setdefault(name, time.perf_counter()) and None)
                await client.select("contests", limit=1)

            await asyncio.gather(caller("a"), caller("b"))
    assert abs(reported["a"] - reported["b"]) > 0.9 * latency


async def test_a_closed_client_says_so(rung: str, lab: Lab) -> None:
    """After aclose (twice is fine) every call fails at once with a RuntimeError that has a text."""
    if rung == "blocking":
        pytest.skip("it holds nothing that could be closed")
    client = RUNGS[rung](lab.url, lab.key)
    await client.select("contests", limit=1)
    await client.close()
    await client.aclose()
    with pytest.raises(RuntimeError) as caught:
        await client.select("contests", limit=1)
    assert str(caught.value)


async def test_a_certificate_is_checked_against_the_labs_authority(rung: str) -> None:
    """Over TLS the lab's own authority is needed; without it no request is sent."""
    with Lab(tls=True) as secure:
        async with RUNGS[rung](secure.url, secure.key, ca_file=str(secure.ca_file)) as client:
            assert len(await client.select("contests", limit=2)) == 2
        served = secure.witness().served
        async with RUNGS[rung](secure.url, secure.key) as stranger:
            with pytest.raises((requests.ConnectionError, httpx.TransportError, ConnectionError)):
                await stranger.select("contests")
        assert secure.witness().served == served


async def test_the_environment_cannot_redirect_requests(
    rung: str, lab: Lab, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    """A proxy in the environment and a .netrc for our host change nothing: the lab gets our key."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with RUNGS[rung](lab.url, lab.key) as client:
        assert len(await client.select("contests", limit=2)) == 2


async def test_opening_and_closing_leaves_nothing_behind(rung: str, lab: Lab) -> None:
    """Fifty clients, opened, used and closed: descriptors, threads and children are as before."""
    import psutil

    async def once() -> None:
        async with RUNGS[rung](lab.url, lab.key) as client:
            await asyncio.gather(*(client.select("contests", limit=1) for _ in range(3)))

    me = psutil.Process()
    await once()
    gc.collect()
    await asyncio.sleep(0.05)
    before = (me.num_fds() if os.name == "posix" else me.num_handles(), me.num_threads(), len(me.children()))
    for _ in range(50):
        await once()
    gc.collect()
    await asyncio.sleep(0.05)
    after = (me.num_fds() if os.name == "posix" else me.num_handles(), me.num_threads(), len(me.children()))
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 2
    assert after[2] == before[2]
