"""What people expect of a client in addition to its calls: filters, pages, keys, schemas, transports, types."""

from __future__ import annotations

import asyncio
import copy
import json
import pickle
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest
from faultserver import FaultServer, in_turn, reply, slow
from labwork import soon

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, Lab, SupabaseAsync
from supalab import filters as f
from supalab.clients.transports import httpx_transport
from supalab.errors import ApiError, BadResponse, DeadlineExceeded, OutcomeUnknown, SettingsError
from supalab.settings import Settings

KEY = "sb_publishable_of_these_tests"
ROOT = Path(__file__).parents[1]
SEED = """
CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT, price REAL, sold BOOLEAN, tags JSONB, data JSONB);
INSERT INTO items VALUES
  (1, 'apple pie', 2.5, true, '["sweet","baked"]', '{"owner": {"name": "Ann"}, "parts": [1, 2]}'),
  (2, 'Apple juice', 1.0, false, '["sweet","cold"]', '{"owner": {"name": "Bob"}}'),
  (3, 'bread', 3.0, NULL, '["baked"]', '{}'),
  (4, 'water', NULL, true, '[]', NULL);
CREATE TABLE numbers (id INTEGER PRIMARY KEY, word TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1200)
INSERT INTO numbers SELECT i * 10, 'number ' || i FROM n;
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with a few items to filter and 1,200 numbers to page through."""
    seed = tmp_path_factory.mktemp("seed") / "shop.sql"
    seed.write_text(SEED)
    with Lab(seed=seed) as lab:
        yield lab


@pytest.fixture
async def db(shop: Lab) -> AsyncIterator[SupabaseAsync]:
    """Our client on it."""
    async with SupabaseAsync(shop.url, shop.key) as client:
        yield client


class Colour(Enum):
    """A value as programs have them."""

    BREAD = "bread"


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"name": "bread"}, [3]),
        ({"name": Colour.BREAD}, [3]),
        ({"name": f.eq("bread")}, [3]),
        ({"name": f.neq("bread")}, [1, 2, 4]),
        ({"price": f.gt(1.0)}, [1, 3]),
        ({"price": f.gte(1.0)}, [1, 2, 3]),
        ({"price": f.lt(2.5)}, [2]),
        ({"price": [f.gte(1.0), f.lte(2.5)]}, [1, 2]),
        ({"price": None}, [4]),
        ({"sold": f.is_(True)}, [1, 4]),
        ({"sold": f.is_("unknown")}, [3]),
        ({"price": f.is_("not_null")}, [1, 2, 3]),
        ({"price": f.distinct_from(1.0)}, [1, 3, 4]),
        ({"name": f.like("a*e")}, [1]),
        ({"name": f.ilike("apple%")}, [1, 2]),
        ({"name": f.match("^[ab]")}, [1, 3]),
        ({"name": f.imatch("^apple")}, [1, 2]),
        ({"name": f.in_(["bread", "water", "a,b"])}, [3, 4]),
        ({"id": f.in_(range(3))}, [1, 2]),
        ({"name": f.any_value(f.ilike, ["apple*", "*ter"])}, [1, 2, 4]),
        ({"name": f.every_value(f.like, ["*a*", "*r*"])}, [3, 4]),
        ({"name": ~f.any_value(f.like, ["b*", "w*"])}, [1, 2]),
        ({"tags": f.contains('["sweet"]')}, [1, 2]),
        ({"tags": f.contained_by('["baked", "cold"]')}, [3, 4]),
        ({"data": f.contains({"owner": {"name": "Ann"}})}, [1]),
        ({"data->owner->>name": "Bob"}, [2]),
        ({"name": f.text_search("pies", config="english")}, [1]),
        ({"name": f.text_search("apple juice", kind="pl")}, [2]),
        (f.any_of({"id": 1}, {"price": f.gt(2.9)}), [1, 3]),
        (~f.any_of({"id": 1}, {"id": 2}), [3, 4]),
        ([{"sold": True}, f.any_of({"id": 1}, {"id": 2})], [1]),
        (f.any_of({"id": 3}, f.all_of({"id": f.lt(3)}, {"sold": True})), [1, 3]),
        ({"name": ~f.like("*a*")}, [2]),
    ],
)
async def test_every_operator_means_what_it_says(db: SupabaseAsync, filters: Any, ids: list[int]) -> None:
    """Each filter, alone and inside a group, finds the same rows."""
    for wanted in (filters, f.all_of(filters)) if not isinstance(filters, list) else (filters,):
        rows = await db.select("items", columns="id", filters=wanted, order="id")
        assert [row["id"] for row in rows] == ids


@pytest.mark.parametrize(
    ("condition", "written"),
    [
        (f.strictly_left("[1,5)"), "sl.[1,5)"),
        (f.strictly_right("[1,5)"), "sr.[1,5)"),
        (f.not_right_of("[1,5)"), "nxr.[1,5)"),
        (f.not_left_of("[1,5)"), "nxl.[1,5)"),
        (f.adjacent("[1,5)"), "adj.[1,5)"),
        (f.overlaps("[1,5)"), "ov.[1,5)"),
        (f.contains("[1,5)"), "cs.[1,5)"),
        (~f.adjacent("[1,5)"), "not.adj.[1,5)"),
        (f.text_search("a b", kind="ph"), "phfts.a b"),
        (f.in_([""]), 'in.("","")'),
        (f.like(f.literally("50%_\\*") + "*"), "like.50\\%\\_\\\\_*"),
    ],
)
def test_operators_of_types_that_the_lab_lacks_are_written_as_postgrest_documents(
    condition: f.Filter, written: str
) -> None:
    """Ranges, phrases and the odd empty text."""
    assert condition.as_parameter() == written


async def test_a_long_list_is_asked_for_in_one_request(db: SupabaseAsync) -> None:
    """Thousands of values fit, though the server repeats them in a header; beyond the longest address words help."""
    rows = await db.select("numbers", columns="id", filters={"id": f.in_(range(8_000))})
    assert len(rows) == 799
    texts = [f"number {number}" for number in range(2_000)]
    assert len(await db.select("numbers", filters={"word": f.in_(texts)}, limit=1000)) == 1000
    with pytest.raises(SettingsError, match="split the request"):
        await db.select("numbers", filters={"id": f.in_(range(20_000))})


@pytest.mark.parametrize(
    "make",
    [
        lambda: f.any_value(f.is_, [True]),
        lambda: f.any_value(f.eq, []),
        lambda: f.any_value(f.like, "abc"),
        lambda: f.every_value(lambda value: ~f.eq(value), [1]),
        lambda: f.every_value(lambda value: f.eq(value) if value else f.gt(0), [0, 1]),
    ],
)
def test_quantifiers_take_one_operator_and_a_list(make: Callable[[], f.Filter]) -> None:
    """The mistake is shown where it is made."""
    with pytest.raises(SettingsError):
        make()


async def test_single_takes_the_first_of_an_order(db: SupabaseAsync) -> None:
    """order and limit decide which row it is; both forms respect a limit."""
    dearest = await db.select("items", order="price.desc.nullslast", limit=1, single=True)
    assert dearest["name"] == "bread"
    cheapest = await db.select("items", order="price", limit=1, maybe_single=True)
    assert cheapest is not None
    assert cheapest["name"] == "Apple juice"
    assert await db.select("items", filters={"id": 99}, maybe_single=True) is None
    with pytest.raises(ApiError, match="more than one"):
        await db.select("items", maybe_single=True)
    for both in ({"single": True, "head": True}, {"single": True, "maybe_single": True}):
        with pytest.raises(SettingsError, match="exclude"):
            await db.select("items", **both)  # type: ignore[call-overload]


async def test_a_count_without_rows(db: SupabaseAsync) -> None:
    """head asks for the total and nothing else."""
    rows = await db.select("numbers", count="exact", head=True)
    assert (len(rows), rows.total) == (0, 1200)


async def test_writes_may_answer_with_nothing(db: SupabaseAsync, shop: Lab) -> None:
    """return_="minimal" on every verb: an empty list, and the write is done."""
    assert await db.insert("items", {"id": 50, "name": "salt"}, return_="minimal") == []
    assert await db.upsert("items", {"id": 50, "name": "pepper"}, return_="minimal") == []
    assert await db.update("items", {"price": 9.0}, filters={"id": 50}, return_="minimal") == []
    row = await db.select("items", columns="name,price", filters={"id": 50}, single=True)
    assert row == {"name": "pepper", "price": 9.0}
    assert await db.delete("items", filters={"id": 50}, return_="minimal") == []
    assert await db.select("items", filters={"id": 50}) == []


async def test_pages_are_right_while_others_write(db: SupabaseAsync) -> None:
    """Rows come in before and go out behind the reader meanwhile: every row that was there all along is seen once."""
    seen: list[int] = []
    async for page in db.pages("numbers", size=100, filters={"id": f.lte(12_000)}):
        seen += [row["id"] for row in page]
        await db.insert("numbers", {"id": len(seen) + 1, "word": "in front"})  # would push offsets back
        await db.delete("numbers", filters={"id": page[0]["id"]})  # would pull them forward
    added = await db.select("numbers", columns="id", filters={"word": "in front"})
    stayed = [number for number in range(10, 12_010, 10) if number in seen]
    assert [number for number in seen if number % 10 == 0] == stayed == list(range(10, 12_010, 10))
    assert len(seen) == len(set(seen))
    assert len(added) == 12


async def test_pages_by_any_unique_column(db: SupabaseAsync) -> None:
    """A text key, chosen columns, filters as a mapping, a group or a list."""
    wanted = f.any_of({"id": f.lt(3)}, {"name": "water"})
    forms: list[f.Filters] = [wanted, [wanted], [wanted, {"id": f.gt(0)}]]
    for filters in forms:
        pages = [page async for page in db.pages("items", columns=["name"], key="name", size=2, filters=filters)]
        names = [row["name"] for page in pages for row in page]
        assert sorted(names) == ["Apple juice", "apple pie", "water"]
    assert [page async for page in db.pages("items", filters={"id": -1})] == []


@pytest.mark.parametrize(
    "wrong",
    [{"size": 0}, {"size": True}, {"key": ""}, {"key": 5}, {"columns": "name"}, {"key": "price"}, {"filters": ""}],
)
async def test_pages_refuse_what_cannot_order_them(db: SupabaseAsync, wrong: dict[str, Any]) -> None:
    """A size of nothing, a key that is no name, is not read, or may be null; filters that are none."""
    with pytest.raises(SettingsError):
        _ = [page async for page in db.pages("items", **wrong)]


async def test_the_first_page_is_there_at_once() -> None:
    """A full page does not wait for the next one; a short one must, to know whether the server cut it.

    The fourth request looks for rows without a key, which no page has.
    """
    first, short, none = (reply("200 OK", body) for body in (b'[{"id":1},{"id":2}]', b'[{"id":3}]', b"[]"))
    with FaultServer(in_turn(first, slow(0.5, short), none)) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            pages = client.pages("t", size=2)
            assert await anext(pages) == [{"id": 1}, {"id": 2}]
            assert await asyncio.to_thread(soon, lambda: server.finished)  # the server notes it a moment later
            assert len(server.finished) == 1
            last = await anext(pages)
            assert (last, last.truncated) == ([{"id": 3}], False)
            with pytest.raises(StopAsyncIteration):
                await anext(pages)
    assert len(server.requests) == 4


async def test_a_row_added_behind_a_short_page_looks_like_a_cut() -> None:
    """Nobody can tell them apart from outside, so truncated says what was seen: more rows behind a short page."""
    bodies = (b'[{"id":1}]', b'[{"id":2}]', b"[]")
    with FaultServer(in_turn(*(reply("200 OK", body) for body in bodies))) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            pages = [(page[0]["id"], page.truncated) async for page in client.pages("t", size=2)]
    assert pages == [(1, True), (2, False)]


async def test_many_rows_go_in_by_portions(db: SupabaseAsync, shop: Lab) -> None:
    """A generator of 1,050 rows in requests of 500: progress after each, and all rows are inserted."""
    said: list[int] = []
    shop.reset()
    new = ({"id": 100_000 + number, "word": "new"} for number in range(1050))
    assert await db.insert_many("numbers", new, size=500, progress=said.append) == 1050
    assert said == [500, 1000, 1050]
    assert shop.witness().served == 3
    assert (await db.select("numbers", filters={"word": "new"}, count="exact", head=True)).total == 1050
    await db.delete("numbers", filters={"word": "new"}, return_="minimal")
    assert await db.insert_many("numbers", []) == 0
    for wrong in ({"id": 1}, 5, "id", [5]):
        with pytest.raises(SettingsError):
            await db.insert_many("numbers", wrong)  # type: ignore[arg-type]


async def test_a_portion_that_fails_says_how_many_are_in(db: SupabaseAsync) -> None:
    """The second request contains an existing id: ten rows are inserted, and the error says so."""
    new = [{"id": 200_000 + number, "word": "half"} for number in range(15)] + [{"id": 200_000}]
    with pytest.raises(ApiError, match="409") as caught:
        await db.insert_many("numbers", new, size=10)
    assert "10 rows of numbers had been inserted" in caught.value.__notes__[0]
    assert (await db.select("numbers", filters={"word": "half"}, count="exact", head=True)).total == 10
    await db.delete("numbers", filters={"word": "half"}, return_="minimal")


async def test_rpc_returns_any_json() -> None:
    """A number, a text, rows, nothing: as the function answers."""
    for body, meant in ((b"7", 7), (b'"a"', "a"), (b'[{"a":1}]', [{"a": 1}]), (b"null", None), (b"", None)):
        with FaultServer(reply("200 OK", body)) as server:
            async with SupabaseAsync(server.url, KEY) as client:
                assert await client.rpc("f", {"n": 1}) == meant
        sent = server.requests[0]
        assert (sent.method, sent.target, sent.raw[-8:]) == ("POST", "/rest/v1/rpc/f", b'{"n": 1}')


async def test_another_schema_is_named_in_both_profiles(shop: Lab) -> None:
    """Reads by Accept-Profile, writes by Content-Profile; a schema that is not exposed is the server's error."""
    with FaultServer(reply()) as server:
        async with SupabaseAsync(server.url, KEY, schema="reports") as client:
            await client.select("t")
            await client.insert("t", {"id": 1})
    read, write = [request.headers for request in server.requests]
    assert (read["accept-profile"], write["content-profile"]) == ("reports", "reports")
    async with SupabaseAsync(shop.url, shop.key, schema="public") as client:
        assert len(await client.select("items")) == 4
    async with SupabaseAsync(shop.url, shop.key, schema="hidden") as client:
        with pytest.raises(ApiError, match="406"):
            await client.select("items")
    with pytest.raises(SettingsError, match="schema"):
        SupabaseAsync(shop.url, shop.key, schema="a,b")


@pytest.mark.parametrize(
    ("key", "token", "apikey", "authorization"),
    [
        ("sb_publishable_1", None, "sb_publishable_1", "Bearer sb_publishable_1"),
        ("sb_secret_1", None, "sb_secret_1", "Bearer sb_secret_1"),
        ("eyJh.eyJp.c2ln", None, "eyJh.eyJp.c2ln", "Bearer eyJh.eyJp.c2ln"),
        ("sb_publishable_1", "eyJh.user.c2ln", "sb_publishable_1", "Bearer eyJh.user.c2ln"),
        (None, "eyJh.user.c2ln", None, "Bearer eyJh.user.c2ln"),
        (None, None, None, None),
    ],
)
async def test_keys_of_every_kind(
    key: str | None, token: str | None, apikey: str | None, authorization: str | None
) -> None:
    """Publishable, secret and JWT keys stand in both headers; a user's token takes the place in Authorization."""
    with FaultServer(reply()) as server:
        async with SupabaseAsync(server.url, key, token=token) as client:
            await client.select("t")
            assert not [secret for secret in (key, token) if secret and secret in repr(client)]
    sent = server.requests[0].headers
    assert (sent.get("apikey"), sent.get("authorization")) == (apikey, authorization)


async def test_the_environment_names_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    """SUPABASE_URL and SUPABASE_KEY; without an address the error says what to set."""
    with FaultServer(reply()) as server:
        monkeypatch.setenv("SUPABASE_URL", server.url)
        monkeypatch.setenv("SUPABASE_KEY", KEY)
        async with SupabaseAsync.from_env(schema="s", token="t.o.k") as client:
            assert await client.select("t") == [{"id": 1}]
    sent = server.requests[0].headers
    assert (sent["apikey"], sent["authorization"], sent["accept-profile"]) == (KEY, "Bearer t.o.k", "s")
    monkeypatch.delenv("SUPABASE_URL")
    with pytest.raises(SettingsError, match="SUPABASE_URL"):
        SupabaseAsync.from_env()


async def test_a_transport_of_ones_own_needs_no_server() -> None:
    """With httpx.MockTransport, requests can be inspected, and retries and errors work as usual."""
    asked: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        if len(asked) == 1:
            raise httpx.ConnectError("not yet", request=request)
        return httpx.Response(200, json=[{"id": 7}], headers={"Content-Range": "0-0/1"})

    async with SupabaseAsync("http://db.test", KEY, transport=lambda _: httpx.MockTransport(handler)) as client:
        rows = await client.select("t", filters={"id": 7}, count="exact")
        assert (rows, rows.total, rows.truncated) == ([{"id": 7}], 1, False)
        await client.insert("t", {"id": 1})
    assert [request.method for request in asked] == ["GET", "GET", "POST"]
    assert asked[1].url.params["id"] == "eq.7"
    assert json.loads(asked[2].content) == {"id": 1}


async def test_a_mock_that_is_slow_or_wrong_is_judged_like_a_server() -> None:
    """The deadline and the dialect hold above any transport."""

    async def slow(request: httpx.Request) -> httpx.Response:
        await asyncio.sleep(30)
        return httpx.Response(200)

    def wrong(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, text="no json")

    for mock, error in ((httpx.MockTransport(slow), DeadlineExceeded), (httpx.MockTransport(wrong), BadResponse)):
        async with SupabaseAsync("http://db.test", KEY, timeout=0.2, transport=partial(only, mock)) as client:
            with pytest.raises(error):
                await client.select("t")


def only(transport: httpx.AsyncBaseTransport, settings: Settings) -> httpx.AsyncBaseTransport:
    """A transport that was made beforehand, whatever the settings."""
    return transport


async def test_a_file_without_certificates_is_named(tmp_path: Path) -> None:
    """Before anything is sent, and in words."""
    (tmp_path / "ca.pem").write_text("no certificate")
    async with SupabaseAsync("https://127.0.0.1:9", KEY, ca_file=str(tmp_path / "ca.pem")) as client:
        with pytest.raises(SettingsError, match="ca_file .*ca.pem"):
            await client.select("t")


async def test_httpx_own_connections_can_be_chosen(shop: Lab) -> None:
    """The same client over httpx's pool."""
    async with SupabaseAsync(shop.url, shop.key, transport=httpx_transport) as client:
        assert len(await client.select("items")) == 4


async def test_a_plain_postgrest_server_has_no_prefix() -> None:
    """rest_path="" for PostgREST without Supabase's gateway; anything but a path is refused."""
    with FaultServer(reply()) as server:
        async with SupabaseAsync(server.url, None, rest_path="") as client:
            await client.select("t")
    assert server.requests[0].target == "/t?select=*"
    for wrong in ("rest", "/../auth", "/a?b", "/a b", 7):
        with pytest.raises(SettingsError, match="rest_path"):
            SupabaseAsync(server.url, None, rest_path=wrong)  # type: ignore[arg-type]


def test_types_are_what_an_editor_shows() -> None:
    """mypy --strict agrees with every assert_type in typing_checks.py, and flags the calls that must not pass."""
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--warn-unused-ignores", "tests/typing_checks.py"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_rungs_have_the_same_methods() -> None:
    """Every method of the fake client is one of ours, so the migration changes only a name."""
    public = {name for name in dir(FakeSupabaseAsync) if not name.startswith("_")}
    assert public <= {name for name in dir(SupabaseAsync) if not name.startswith("_")}
    assert {"select", "insert", "upsert", "update", "delete", "rpc", "close", "aclose"} <= public


@pytest.mark.parametrize("odd", ["x", httpx.MockTransport(lambda _: httpx.Response(200)), lambda _: None, 5])
async def test_a_transport_that_is_none_is_named(odd: Any) -> None:
    """Not an AttributeError from deep inside, and nothing is left behind."""
    async with SupabaseAsync("http://127.0.0.1:9", None, transport=odd) as client:
        with pytest.raises(SettingsError, match="transport .*: pass a function"):
            await client.select("t")


@pytest.mark.parametrize("kind", [SupabaseAsync, FakeSupabaseAsync, ArticleSupabaseAsync])
def test_a_client_that_is_copied_or_pickled_says_what_to_do(kind: Any) -> None:
    """Two processes cannot share connections, nor can two objects."""
    client = kind("http://127.0.0.1:9", "sb_secret_XYZ")
    for attempt in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="make a client there") as caught:
            attempt(client)
        assert "XYZ" not in str(caught.value)


@pytest.mark.parametrize("error", [httpx.DecodingError("x"), httpx.TooManyRedirects("x"), httpx.PoolTimeout("")])
async def test_any_failure_of_a_transport_is_an_error_of_ours(error: Exception) -> None:
    """Whatever of httpx's errors for a request it is."""

    def fail(_: httpx.Request) -> httpx.Response:
        raise error

    async with SupabaseAsync("http://127.0.0.1:9", None, transport=lambda _: httpx.MockTransport(fail)) as client:
        with pytest.raises(OutcomeUnknown):
            await client.insert("t", {"a": 1})
