"""Rows 29-37 of the fault table: keys that must not be shown, and addresses and names that must not lead elsewhere."""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote

import pytest
from faultserver import (
    Fault,
    FaultServer,
    break_off,
    close_after_reply,
    die,
    die_reading,
    drip,
    echo,
    half_body,
    hang,
    raw,
    redirect,
    repeat,
    reply,
)

from supalab import ArticleSupabaseAsync, FakeSupabaseAsync, Lab, SupabaseAsync
from supalab.clients.base import Client
from supalab.clients.session import SessionSupabaseAsync
from supalab.clients.transports import Transport, httpx_transport, pooled_transport
from supalab.errors import SettingsError, SupalabError
from supalab.filters import in_, quoted

SECRET = "SECRETKEY0123456789"
TOKEN = "USERTOKEN9876543210"
RUNGS = [FakeSupabaseAsync, SessionSupabaseAsync, ArticleSupabaseAsync, SupabaseAsync]
FAULTS: dict[str, Fault] = {
    "no answer": die,
    "reset": break_off,
    "half read": die_reading,
    "half body": half_body,
    "closed after reply": close_after_reply,
    "hang": hang,
    "drip": drip(),
    "busy": reply("503 Busy", b"{}"),
    "not json": reply("200 OK", b"<html>"),
    "not utf-8": reply("200 OK", b"\xff\xfe"),
    "empty error": reply("404 Not Found", b""),
    "garbage": raw(b"garbage\r\n\r\n"),
    "redirect": redirect(f"http://127.0.0.1:9/{SECRET}"),
    "echo in the error": echo,
    "echo in the status line": repeat(b"HTTP/1.1 ", b"\r\n\r\n"),
    "echo in the reason": repeat(b"HTTP/1.1 500 ", b"\r\nContent-Length: 0\r\n\r\n"),
    "echo as garbage": repeat(b"", b"\r\n\r\n"),
    "echo in a bad header": repeat(b"HTTP/1.1 200 OK\r\n", b"\r\n\r\n"),
    "echo in the length": repeat(b"HTTP/1.1 200 OK\r\nContent-Length: ", b"\r\n\r\n"),
    "echo in the encoding": repeat(b"HTTP/1.1 200 OK\r\nContent-Encoding: ", b"\r\nContent-Length: 1\r\n\r\n[]"),
    "echo in chunks": repeat(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"\r\n"),
    "echo in html": repeat(b"HTTP/1.1 502 Bad\r\n\r\n<html>"),
    "echo in bad json": repeat(b"HTTP/1.1 200 OK\r\n\r\n{"),
    "echo in bad utf-8": repeat(b"HTTP/1.1 200 OK\r\n\r\n\xff"),
    "echo in no rows": repeat(b'HTTP/1.1 200 OK\r\n\r\n"', b'"'),
}


def told(error: BaseException | None, seen: set[int]) -> str:
    """Return all text of an exception, its causes and its context, in every form that a log might use."""
    if error is None or id(error) in seen:
        return ""
    seen.add(id(error))
    own = "".join(
        [str(error), repr(error), *map(str, getattr(error, "__notes__", [])), *traceback.format_exception(error)]
    )
    return own + told(error.__cause__, seen) + told(error.__context__, seen)


@pytest.mark.parametrize("key", [f"{SECRET}\n", f" {SECRET}", f"{SECRET}ë", f"{SECRET}\r\nX: 1", f"{SECRET}\0", ""])
@pytest.mark.parametrize("kind", RUNGS)
def test_row_29_a_damaged_key_is_refused_without_being_shown(kind: type[Client], key: str) -> None:
    """httpx and requests print a key with a line break whole in their own errors, so it never gets that far."""
    with pytest.raises(SettingsError, match="key") as caught:
        kind("http://127.0.0.1:9", key)  # type: ignore[call-arg]
    assert SECRET not in told(caught.value, set())


def test_row_29_a_damaged_token_is_refused_without_being_shown() -> None:
    """The same for a user's token."""
    with pytest.raises(SettingsError, match="token") as caught:
        SupabaseAsync("http://127.0.0.1:9", SECRET, token=f"{TOKEN}\n")
    assert TOKEN not in told(caught.value, set())


@pytest.mark.parametrize("transport", [pooled_transport, httpx_transport], ids=["pooled", "httpx"])
@pytest.mark.parametrize("fault", list(FAULTS))
async def test_row_30_no_fault_makes_the_client_tell_the_key(
    fault: str, transport: Transport, caplog: pytest.LogCaptureFixture
) -> None:
    """Every fault, a read and a write, all logs at DEBUG: neither the key nor the token is in any text."""
    caplog.set_level(logging.DEBUG)
    for name in ("httpx", "httpcore", "aiohttp", "asyncio", "supalab"):
        caplog.set_level(logging.DEBUG, logger=name)
    errors: list[BaseException | None] = []
    with FaultServer(FAULTS[fault]) as server:
        async with SupabaseAsync(server.url, SECRET, token=TOKEN, timeout=0.4, transport=transport) as client:
            texts = [repr(client), str(client)]
            for call in (client.select("t"), client.insert("t", {"id": 1})):
                try:
                    await call
                except SupalabError as error:
                    errors.append(error)
    assert errors or fault == "closed after reply"
    # httpcore logs each answer's headers at DEBUG, as they come; see httpx_transport.
    logged = [one for one in caplog.records if not one.name.startswith("httpcore")]
    texts += [told(error, set()) for error in errors] + [f"{one.getMessage()} {one.__dict__}" for one in logged]
    assert all(str(error) for error in errors)
    for secret in (SECRET, TOKEN):
        assert not [text for text in texts if secret in text]


@pytest.mark.parametrize("kind", RUNGS)
async def test_row_31_netrc_does_not_replace_the_key(
    kind: type[Client], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """requests would send the password it finds for the host in place of our Authorization."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password else\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    with FaultServer(reply()) as server:
        async with kind(server.url, SECRET) as client:  # type: ignore[call-arg]
            await client.select("t")
    sent = server.requests[0].headers
    assert (sent["authorization"], sent["apikey"]) == (f"Bearer {SECRET}", SECRET)


@pytest.mark.parametrize("kind", RUNGS)
async def test_row_32_a_proxy_in_the_environment_sees_nothing(
    kind: type[Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a measurement would measure the proxy and not the server."""
    with FaultServer(reply()) as proxy, FaultServer(reply()) as server:
        for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, proxy.url)
        async with kind(server.url, SECRET) as client:  # type: ignore[call-arg]
            await client.select("t")
    assert (len(server.requests), proxy.accepted) == (1, 0)


@pytest.mark.parametrize("kind", RUNGS)
@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:9",
        "localhost",
        "ftp://127.0.0.1",
        "http://",
        "http://user:pass@127.0.0.1",
        "http://127.0.0.1/a b",
        "http://127.0.0.1:99999",
        "http://127.0.0.1/?a=1",
        "http://a..b",
        f"http://{'x' * 64}.test",
        "",
        " http://127.0.0.1",
        "http://127.0.0.1\n",
        7,
    ],
)
def test_row_33_an_address_that_cannot_work_is_refused_when_it_is_given(kind: type[Client], url: Any) -> None:
    """Not at the first request, and a password in it is not shown."""
    with pytest.raises(SettingsError, match="url") as caught:
        kind(url, SECRET)  # type: ignore[call-arg]
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("tail", ["", "/", "//", "/rest/v1", "/rest/v1/"])
async def test_row_33_slashes_and_the_rest_path_do_not_matter(tail: str) -> None:
    """However the address was copied, the request goes to the same place."""
    with FaultServer(reply()) as server:
        async with SupabaseAsync(server.url + tail, SECRET) as client:
            await client.select("t")
    assert server.requests[0].target == "/rest/v1/t?select=*"


BAD_PATHS = [
    "../auth/v1/admin",
    "..",
    ".",
    "http://evil.example/x",
    "//evil.example/x",
    "a/b",
    "a\\b",
    "a%2fb",
    "%2E%2e",
]
NO_NAMES = ["", "x" * 64, "a\0b"]


@pytest.mark.parametrize("kind", [FakeSupabaseAsync, SupabaseAsync])
async def test_row_34_and_37_names_that_are_no_names_never_leave(kind: type[Client]) -> None:
    """Table, function, column, order, conflict column: each refused, and the server sees nothing at all."""
    with FaultServer(reply()) as server:
        async with kind(server.url, SECRET) as db:  # type: ignore[call-arg]
            paths: list[Callable[[str], Any]] = [
                lambda name: db.select(name),
                lambda name: db.insert(name, {"id": 1}),
                lambda name: db.update(name, {"id": 1}, filters={"id": 1}),
                lambda name: db.delete(name, filters={"id": 1}),
                lambda name: db.rpc(name),
            ]
            names: list[Callable[[str], Any]] = [
                lambda name: db.upsert("t", {"id": 1}, on_conflict=[name]),
                lambda name: db.select("t", filters={name: 1}),
                lambda name: db.select("t", order=[name]),
                lambda name: db.insert("t", [{"id": 1}, {name: 1}]),
            ]
            tried = [(make, name) for make in paths for name in BAD_PATHS + NO_NAMES]
            for make, name in tried + [(make, name) for make in names for name in NO_NAMES]:
                with pytest.raises(SettingsError):
                    await make(name)
    assert server.accepted == 0


ODD_NAMES = [
    "a?b",
    "a#b",
    "a%20b",
    "a b",
    "a;drop table a",
    "a\r\nX: 1",
    'a"b',
    "a&b=c",
    "...",
    "\uff41\uff0f\uff42",
    "né🙂",
]


@pytest.mark.parametrize("kind", [FakeSupabaseAsync, SupabaseAsync])
async def test_row_34_an_odd_name_keeps_its_place(kind: type[Client]) -> None:
    """As a table it is one part of the path, as a column one parameter, through both libraries the same."""
    with FaultServer(reply("200 OK", b"[]")) as server:
        async with kind(server.url, SECRET) as db:  # type: ignore[call-arg]
            for name in ODD_NAMES:
                await db.select(name, filters={quoted(name): 1}, order=[quoted(name)])
                await db.rpc(name)
    assert len(server.requests) == 2 * len(ODD_NAMES)
    for number, name in enumerate(ODD_NAMES):
        read, called = server.requests[2 * number : 2 * number + 2]
        path, _, query = read.target.partition("?")
        assert (path.count("/"), unquote(path)) == (3, f"/rest/v1/{name}")
        assert parse_qsl(query) == [("select", "*"), (quoted(name), "eq.1"), ("order", quoted(name))]
        assert (called.target.count("/"), unquote(called.target)) == (4, f"/rest/v1/rpc/{name}")


ODD = [
    "a,b",
    'a"b',
    "a\\b",
    "(a)",
    "a.b",
    "a:b",
    "*",
    "",
    "null",
    "Zoë 🙂 +%&=#",
    "a%2Cb",
    "a\nb",
    "'; --",
    "{a}",
    "\\",
]


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A lab that serves a table of odd texts."""
    seed = tmp_path_factory.mktemp("seed") / "odd.sql"
    rows = ",".join(f"({number}, '{text.replace(chr(39), chr(39) * 2)}')" for number, text in enumerate(ODD))
    seed.write_text(
        f"CREATE TABLE odd (id INTEGER PRIMARY KEY, text TEXT);\nINSERT INTO odd VALUES {rows};\n", encoding="utf-8"
    )
    with Lab(seed=seed) as lab:
        yield lab


@pytest.mark.parametrize("kind", [FakeSupabaseAsync, SupabaseAsync])
async def test_row_35_and_36_odd_values_find_their_own_row(kind: type[Client], odd: Lab) -> None:
    """As an equal value and in a list, every text means itself: to both libraries the same."""
    async with kind(odd.url, odd.key) as db:  # type: ignore[call-arg]
        for number, text in enumerate(ODD):
            expected = [{"id": number, "text": text}]
            assert await db.select("odd", filters={"text": text}) == expected
            assert await db.select("odd", filters={"text": in_([text, "no such text"])}) == expected
        everything = await db.select("odd", filters={"text": in_(ODD)}, order="id")
        assert [row["text"] for row in everything] == ODD
        for bad in ("a\0b", "\ud800"):
            with pytest.raises(SettingsError):
                await db.select("odd", filters={"text": bad})


async def test_row_36_a_value_cannot_add_a_parameter(odd: Lab) -> None:
    """What would be a second condition in a glued address is a part of the value here."""
    async with SupabaseAsync(odd.url, odd.key) as db:
        assert await db.select("odd", filters={"text": "a,b&id=eq.2"}) == []
        assert await asyncio.wait_for(db.select("odd", filters={"text": 'x",id.gt.0,"y'}), 10) == []
