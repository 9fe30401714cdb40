"""Rows 23-28, 38 and 40 of the fault table: responses that are too large, broken, incomplete, errors, or redirects."""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from faultserver import FaultServer, bomb, huge, in_turn, redirect, reply

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, Lab, SupabaseAsync
from supalab.clients.base import Client
from supalab.clients.http1 import ResponseParser
from supalab.clients.session import SessionSupabaseAsync
from supalab.errors import ApiError, BadResponse, ConnectionLost, ResponseTooLarge, SettingsError

KEY = "sb_publishable_of_these_tests"
ONE = [{"id": 1}]
RUNGS = [FakeSupabaseAsync, SessionSupabaseAsync, ArticleSupabaseAsync, SupabaseAsync]


async def asked(server: FaultServer, **options: Any) -> Any:
    """Return the rows of a plain read."""
    async with SupabaseAsync(server.url, KEY, **options) as client:
        return await client.select("t")


async def test_row_23_a_bomb_is_refused_before_it_fills_memory() -> None:
    """48 KB that would become 50 MB are refused with less than 5 MB of memory, and the client still works."""
    with FaultServer(bomb()) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            server.fault = reply()
            await client.select("t")
            server.fault = bomb()
            tracemalloc.start()
            try:
                with pytest.raises(ResponseTooLarge, match="max_bytes"):
                    await client.select("t")
                peak = tracemalloc.get_traced_memory()[1]
            finally:
                tracemalloc.stop()
            server.fault = reply()
            assert await client.select("t") == ONE
    assert peak < 5 * 1024 * 1024
    assert "identity" in server.requests[0].headers["accept-encoding"]


async def test_row_23_a_plain_body_stops_at_the_cap() -> None:
    """100 MB are offered, 1 MB is taken; the server notices that nobody listens any more."""
    with FaultServer(huge()) as server:
        with pytest.raises(ResponseTooLarge, match="1000000 bytes"):
            await asked(server, max_bytes=1_000_000)
        server.fault = reply()
        assert await asked(server) == ONE
        assert server.finished[:-1] == []


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_row_23_an_encoded_answer_is_read_all_the_same(encoding: str, pack: Any) -> None:
    """Some gateways compress though nobody asked."""
    with FaultServer(reply("200 OK", pack(b'[{"id":1}]'), f"Content-Encoding: {encoding}")) as server:
        assert await asked(server) == ONE
        with pytest.raises(ResponseTooLarge):
            await asked(server, max_bytes=9)


@pytest.mark.parametrize(
    ("encoding", "body"),
    [("br", b"?"), ("gzip", b"not gzip"), ("gzip", gzip.compress(b'[{"id":1}]' * 99, mtime=0)[:-9])],
)
async def test_row_23_an_encoding_that_cannot_be_read_is_refused(encoding: str, body: bytes) -> None:
    """Unknown, wrong or cut short."""
    fault = reply("200 OK", body, f"Content-Encoding: {encoding}")
    with FaultServer(fault) as server, pytest.raises(BadResponse, match="encoded|compressed"):
        await asked(server)


@pytest.mark.parametrize(("encoding", "body"), [("br", b"?"), ("gzip", b"not gzip")])
async def test_row_23_an_error_that_cannot_be_decoded_keeps_its_status(encoding: str, body: bytes) -> None:
    """A gateway's page with 503: a read is repeated, and a write tells the status."""
    busy = reply("503 Busy", body, f"Content-Encoding: {encoding}")
    with FaultServer(in_turn(busy, reply(), busy)) as server:
        assert await asked(server) == ONE
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(ApiError, match="503: the server gave no reason"):
                await client.insert("t", {"id": 1})
    assert len(server.requests) == 3


async def test_row_23_a_write_with_a_large_response_is_in_doubt() -> None:
    """Its rows are stored although they did not all come back."""
    with FaultServer(reply("201 Created")) as server:
        async with SupabaseAsync(server.url, KEY, max_bytes=9) as client:
            with pytest.raises(ResponseTooLarge, match=r"may have been applied, use return_='minimal'"):
                await client.insert("t", {"id": 1})


@pytest.mark.parametrize("bad", [0, -1, 1.5, "9"])
def test_row_23_the_cap_is_a_number_of_bytes(bad: Any) -> None:
    """Checked when the client is made."""
    with pytest.raises(SettingsError, match="max_bytes"):
        SupabaseAsync("http://127.0.0.1:1", KEY, max_bytes=bad)


@pytest.mark.parametrize("verb", ["select", "insert", "rpc"])
async def test_row_24_broken_json_is_no_data(verb: str) -> None:
    """Status 200 and a page of something else: BadResponse with its beginning, two hundred letters of it."""
    with FaultServer(reply("200 OK", b"<html>" + b"x" * 1000)) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            calls = {"select": client.select("t"), "insert": client.insert("t", {"id": 1}), "rpc": client.rpc("f")}
            call = calls.pop(verb)
            for other in calls.values():
                other.close()
            with pytest.raises(BadResponse, match="<html>x") as caught:
                await call
    assert len(str(caught.value)) < 300
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [b"7", b"null7", b'"text"', b"[1,2]", b'[{"a":1},5]', b"[{},null]", b"[{},[]]", b"true"]
)
async def test_row_24_json_that_is_no_rows_is_refused(body: bytes) -> None:
    """A select brings rows or an error, never a number."""
    with FaultServer(reply("200 OK", body)) as server, pytest.raises(BadResponse):
        await asked(server)


@pytest.mark.parametrize("body", [b"", b"[]", b"null"])
async def test_row_24_a_single_row_that_is_none_is_refused(body: bytes) -> None:
    """single promises a row: a server that says 200 and sends none has broken its word."""
    with FaultServer(reply("200 OK", body)) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(BadResponse):
                await client.select("t", single=True)


@pytest.mark.parametrize(
    ("status", "body", "message", "code"),
    [
        (500, b"<html><h1>Bad Gateway</h1></html>", "<html><h1>Bad Gateway</h1></html>", None),
        (500, b'"just a string"', "just a string", None),
        (500, b"", "the server gave no reason", None),
        (404, b'{"code":"PGRST205","message":"no table","hint":"t2"}', "no table", "PGRST205"),
        (400, b'{"message":{"nested":[1]}}', "{'nested': [1]}", None),
        (400, b"[" * 100_000, "[" * 200, None),
        (400, b"\xff\xfe", "\ufffd\ufffd", None),
    ],
)
async def test_row_25_any_error_body_is_one_error(status: int, body: bytes, message: str, code: str | None) -> None:
    """A gateway's page, a string, nothing, PostgREST's own: status, message and perhaps a code."""
    with FaultServer(reply(f"{status} Error", body)) as server, pytest.raises(ApiError) as caught:
        await asked(server)
    assert (caught.value.status, caught.value.message, caught.value.code) == (status, message, code)


async def test_row_25_a_head_request_has_no_body_to_explain() -> None:
    """The status alone makes the error; a good one makes the count, even of nothing."""
    with FaultServer(reply("404 Not Found", b"")) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(ApiError, match="404: the server gave no reason"):
                await client.select("t", count="exact", head=True)
            server.fault = reply("200 OK", b"[]", "Content-Range: */0")
            rows = await client.select("t", count="exact", head=True)
    assert (rows, rows.total) == ([], 0)


@pytest.mark.parametrize("body", [b"[" * 100_000 + b"]" * 100_000, b'[{"a":NaN}]', b'[{"a":-Infinity}]'])
async def test_row_26_json_that_python_alone_accepts_is_refused(body: bytes) -> None:
    """Too deep, or no JSON at all: BadResponse, never a RecursionError, never NaN in somebody's sums."""
    with FaultServer(reply("200 OK", body)) as server, pytest.raises(BadResponse):
        await asked(server)


async def test_row_26_nan_and_depth_do_not_leave() -> None:
    """A row that is no JSON is refused before anything is sent."""
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    with FaultServer(reply()) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            for value in (float("nan"), float("inf"), deep, object(), "\ud800"):
                with pytest.raises(ValueError, match="JSON"):
                    await client.insert("t", {"a": value})
    assert server.requests == []


@pytest.mark.parametrize("kind", RUNGS)
@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "307 Temporary Redirect", "308 Permanent Redirect"])
async def test_row_28_a_redirect_takes_no_key_elsewhere(kind: type[Client], status: str) -> None:
    """Another origin would get the apikey header, which no library strips: no rung follows."""
    with FaultServer(reply()) as other, FaultServer(reply()) as server:
        server.fault = reply(status, b"", f"Location: {other.url}/rest/v1/t")
        async with kind(server.url, KEY) as client:  # type: ignore[call-arg]
            errors: tuple[type[Exception], ...] = (ApiError, httpx.HTTPStatusError)
            with pytest.raises(errors, match="30"):
                await client.select("t")
    assert (len(server.requests), len(other.requests)) == (1, 0)


async def test_row_28_a_redirect_is_explained() -> None:
    """The usual reason is http where https was meant."""
    elsewhere = redirect("https://elsewhere.test/")
    with FaultServer(elsewhere) as server, pytest.raises(ApiError, match="302: .*check the url"):
        await asked(server)


@pytest.fixture(scope="module")
def long_table(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab with 2,500 rows, which cuts every answer at 1,000 as Supabase does."""
    seed = Path(tmp_path_factory.mktemp("seed")) / "long.sql"
    seed.write_text(
        "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT);\n"
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 2500)\n"
        "INSERT INTO items SELECT i, 'item ' || i FROM n;\n"
    )
    with Lab(seed=seed) as lab:
        yield lab


async def test_row_38_an_answer_that_was_cut_says_so(long_table: Lab) -> None:
    """The server sends 1,000 of 2,500 rows and calls it success: with a count, truncated tells; without, nobody."""
    async with SupabaseAsync(long_table.url, long_table.key) as client:
        everything = await client.select("items", count="exact")
        assert (len(everything), everything.total, everything.truncated) == (1000, 2500, True)
        last = await client.select("items", count="exact", order="id", offset=2000)
        assert (len(last), last.truncated) == (500, False)
        assert (await client.select("items", count="exact", limit=25)).truncated is False
        assert (await client.select("items")).truncated is None
        assert (await client.select("items", count="exact", head=True)).total == 2500


async def test_row_38_an_estimate_does_not_accuse() -> None:
    """A planner's estimate of the total does not show whether rows are missing."""
    with FaultServer(reply("206 Partial", b'[{"id":1}]', "Content-Range: 0-0/1000")) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            rows = await client.select("t", count="planned")
    assert (rows.total, rows.truncated) == (1000, None)


@pytest.mark.parametrize(
    "written", ["*/*", "0-0/*", "nonsense", "0-0/-1", "0-0/1e3", "0-0/" + "9" * 19, "0-0/" + "9" * 5000]
)
async def test_row_38_a_total_that_is_unknown_is_none(written: str) -> None:
    """Whatever stands in Content-Range."""
    with FaultServer(reply("200 OK", b"[]", f"Content-Range: {written}")) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            assert (await client.select("t", count="exact")).total is None


async def test_row_38_pages_are_the_whole_table(long_table: Lab) -> None:
    """Every row once, in order; where the server cuts below the size asked for, the page says so, nothing is lost."""
    async with SupabaseAsync(long_table.url, long_table.key) as client:
        for size, cut in ((700, [False] * 4), (1000, [False] * 3), (2000, [True, True, False]), (2500, None)):
            pages = [page async for page in client.pages("items", size=size)]
            assert [row["id"] for page in pages for row in page] == list(range(1, 2501))
            assert cut is None or [page.truncated for page in pages] == cut


async def test_row_40_only_http_1_1_is_spoken() -> None:
    """No GOAWAY can end a request: the request line says 1.1, and no other protocol is offered in TLS."""
    with FaultServer(reply()) as server:
        assert await asked(server) == ONE
    assert server.requests[0].raw.startswith(b"GET /rest/v1/t?select=* HTTP/1.1\r\n")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"https://127.0.0.1:{listener.getsockname()[1]}"
        async with SupabaseAsync(address, KEY, timeout=5) as client:
            call = asyncio.create_task(client.insert("t", {"id": 1}))
            other, _ = await asyncio.to_thread(listener.accept)
            with other:
                hello = await asyncio.to_thread(other.recv, 4096)
            with pytest.raises(ConnectionLost):
                await call
    assert hello[0] == 22, "a TLS handshake"
    assert b"h2" not in hello


@pytest.mark.parametrize("piece", [1, 2, 1000])
def test_a_body_in_small_chunks_takes_no_more_memory_than_in_one(piece: int) -> None:
    """A server chooses how it cuts an answer; two bytes at a time, pieces in a list would take twenty times as much."""
    chunk = b"%x\r\n" % piece + b"x" * piece + b"\r\n"
    stream = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk * (600_000 // piece) + b"0\r\n\r\n"
    reader = ResponseParser("GET", 1_000_000)
    tracemalloc.start()
    try:
        for start in range(0, len(stream), 65_536):
            reader.feed(stream[start : start + 65_536])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert reader.done
    assert peak < 2 * len(reader.body)


@pytest.mark.parametrize("row", [{"id": 1}, {"id": 12345, "title": "A contest", "prize": 1000.5, "host": None}])
async def test_reading_rows_takes_little_more_than_the_rows_themselves(row: dict[str, Any]) -> None:
    """What comes on top while an answer is read: its bytes and its text, and nothing that grows with its rows."""
    body = json.dumps([row] * (2_000_000 // len(json.dumps(row)))).encode()
    transport = httpx.MockTransport(lambda _: httpx.Response(200, stream=httpx.ByteStream(body)))
    async with SupabaseAsync("http://127.0.0.1:9", KEY, transport=lambda _: transport) as client:
        tracemalloc.start()
        try:
            rows = await client.select("t")
            held, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert rows[-1] == row
    assert peak - held < 2.5 * len(body)
