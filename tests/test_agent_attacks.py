"""Callers and backends that break the rules: the service responds with the right status and one log line."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import httpx
import pytest
from agentwork import CLIENTS, caller_of, options_for, problem_in
from faultserver import Exchange, FaultServer, answer

from supalab import Lab
from supalab.contest_agent.app import create_app
from supalab.contest_agent.handle import Agent
from supalab.contest_agent.options import AgentOptions
from supalab.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "BREW")
JSON = {"Content-Type": "application/json"}


@pytest.fixture(params=CLIENTS)
async def caller(request: pytest.FixtureRequest, lab: Lab) -> AsyncIterator[httpx.AsyncClient]:
    async with caller_of(options_for(lab, request.param)) as calling:
        yield calling


async def test_every_method_on_every_path_has_an_answer(lab: Lab) -> None:
    """A path without this method gives 405 and names its methods; nothing is a bug."""
    paths = [*create_app(options_for(lab, "real")).openapi()["paths"], "/openapi.json", "/nothing", "/"]
    async with caller_of(options_for(lab, "real")) as caller:
        for path in paths:
            allowed: set[str] = set()
            for method in METHODS:
                response = await caller.request(method, path.replace("{contest_id}", "3"))
                assert response.status_code in {200, 404, 405, 422}, (method, path)
                if response.status_code == 405:
                    assert method == "HEAD" or problem_in(response, 405)
                    allowed = set(response.headers["allow"].split(", "))
                    assert method not in allowed
            assert allowed or path in {"/nothing", "/"}, path


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"\xff\xfe{}",
        b'{"id": 9001, "title": "\\ud800"}',
        b'{"id": 9001, "title": "x", "description": "a\\udfffb"}',
        b'{"id": 9001, "title": "x", "url": "https://x.test/\\ud800"}',
        b'{"\\ud800": 1}',
        b'{"id": NaN, "title": "x"}',
        b'{"id": 1e999, "title": "x"}',
        b'{"id": ' + b"9" * 5_000 + b', "title": "x"}',
        b"[" * 30_000,
        b'{"id": 9001, "title": "x", "starts_at": "0001-01-01T00:00:00+14:00", "prize": -1}',
        b'{"id": 9001, "title": "x", "starts_at": "2026-01-01T00:00:00+99:99"}',
        b"null",
        b"[]",
        b'"text"',
        b"",
    ],
    ids=lambda body: repr(body[:40]),
)
async def test_a_body_that_is_no_contest_is_422(caller: httpx.AsyncClient, lab: Lab, body: bytes) -> None:
    """Broken JSON, text that UTF-8 cannot encode, endless numbers: refused before the backend is asked."""
    lab.reset()
    problem_in(await caller.post("/contests", content=body, headers=JSON), 422)
    problem_in(await caller.patch("/contests/3", content=body, headers=JSON), 422)
    assert lab.witness().served == 0


@pytest.mark.parametrize("query", ["q=%ED%A0%80", "q=%FF", "host=%00", "page=9" + "9" * 5_000, "q=" + "a" * 9_000])
async def test_a_query_that_is_no_text_is_answered(caller: httpx.AsyncClient, query: str) -> None:
    """Bytes that are not UTF-8, and numbers and texts that are too long."""
    assert (await caller.get(f"/contests?{query}")).status_code in {200, 422}


CONTEST = {"id": 3, "title": "x", "ends_at": "2026-01-01T00:00:00Z"}
WRONG = {
    "nothing": b"",
    "null": b"null",
    "no rows": b"[]",
    "a number": b"7",
    "a text": b'"x"',
    "half": b'[{"id": 3',
    "no UTF-8": b'[{"id": 3, "title": "\xff"}]',
    "no text": b'[{"id": 3, "title": "\\ud800"}]',
    "no field": b'[{"title": "x"}]',
    "another row": json.dumps([CONTEST | {"id": 4}]).encode(),
    "two rows": json.dumps([CONTEST, CONTEST]).encode(),
    "null in it": b"[null]",
    "lists": b"[[]]",
    "endless": b'[{"id": 1e999, "title": "x"}]',
    "a page": b"<html>It works!</html>",
}


@pytest.mark.parametrize("client", CLIENTS)
async def test_a_backend_against_its_contract_is_502_with_one_line(
    client: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A backend's 200 or 201 that no PostgREST would send gives 502 for reads and writes, no traceback.

    For a search, an empty list is a valid answer; in all these cases, two rows or other rows than requested are not.
    """
    statuses: dict[tuple[str, str], int] = {}
    body = b""

    async def wrong(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(answer("200 OK", body, "Content-Range: 0-0/1"))

    with FaultServer(wrong) as server, caplog.at_level(logging.INFO, "supalab.contest_agent"):
        async with caller_of(AgentOptions(client, Settings(server.url, "k"))) as caller:
            for name, body in WRONG.items():  # noqa: B007  # the server sends it
                new, change = {"id": 3, "title": "x"}, {"title": "x"}
                for route, asked in {
                    "list": caller.get("/contests"),
                    "one": caller.get("/contests/3"),
                    "deadlines": caller.get("/deadlines?category=rl"),
                    "add": caller.post("/contests", json=new),
                    "change": caller.patch("/contests/3", json=change),
                }.items():
                    statuses[name, route] = (await asked).status_code
    rows = {"list": 200, "one": 404, "deadlines": 200, "change": 404}
    good = {("no rows", route): status for route, status in rows.items()}
    good |= {(name, route): 200 for name in ("another row", "two rows") for route in ("list", "deadlines")}
    assert {where: status for where, status in statuses.items() if status != 502} == good
    assert [record.exc_info for record in caplog.records if record.exc_info] == []
    assert len(caplog.records) == len(statuses)


@pytest.mark.parametrize("client", CLIENTS)
async def test_deadlines_without_an_end_are_the_backends_mistake(client: str) -> None:
    """Contests without an end were not requested and cannot be sorted; a list needs its total."""

    async def wrong(exchange: Exchange) -> None:
        await exchange.send(answer(body=b'[{"id": 3, "title": "x", "ends_at": null}]'))

    with FaultServer(wrong) as server:
        async with caller_of(AgentOptions(client, Settings(server.url, "k"))) as caller:
            problem_in(await caller.get("/deadlines"), 502)
            problem_in(await caller.get("/contests"), 502)


def asked(agent: Agent, data: bytes, seconds: float = 20.0) -> bytes:
    """Send bytes and return everything that comes back until the service closes the connection."""
    with socket.create_connection(("127.0.0.1", urlsplit(agent.url).port or 0), seconds) as sock:
        with contextlib.suppress(ConnectionError):
            sock.sendall(data)
        got = b""
        with contextlib.suppress(ConnectionResetError):
            while part := sock.recv(65_536):
                got += part
        return got


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_slow_upload_is_408_and_closed(method: str, lab: Lab) -> None:
    """The caller was slow, not the backend, which gets no request; its connection is not used again."""
    path = "/contests" if method == "POST" else "/contests/3"
    head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 50\r\n\r\n"
    with Agent(client="real", url=lab.url, key=lab.key, timeout=0.3) as agent:
        lab.reset()
        for begun in (b"", b'{"id": 9001, '):
            got = asked(agent, head.encode() + begun)
            assert got.startswith(b"HTTP/1.1 408 "), got
            assert b"application/problem+json" in got
            assert b"connection: close" in got.lower()
        assert lab.witness().served == 0


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET /contests?q=" + b"a" * 2_000_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /contests HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 2_000_000 + b"\r\n\r\n", 431),
        (b"GET /contests HTTP/1.1\r\n" + b"X-Many: a\r\n" * 200_000 + b"\r\n", 431),
    ],
    ids=["line", "header", "headers"],
)
def test_a_request_line_and_headers_are_bounded(data: bytes, status: int, lab: Lab) -> None:
    """Too long heads are refused early, and other callers are served meanwhile."""
    with Agent(client="real", url=lab.url, key=lab.key) as agent:
        assert asked(agent, data).startswith(b"HTTP/1.1 %d " % status)
        assert httpx.get(f"{agent.url}/health").status_code == 200


UNFINISHED = """
import os, sys, threading
from supalab.process import serving
from supalab.contest_agent.options import AgentOptions
from supalab.contest_agent.server import serve
from supalab.settings import Settings
serving.HEAD_S = 0.5
ending = threading.Event()
threading.Thread(target=lambda: (sys.stdin.read(), ending.set()), daemon=True).start()
options = AgentOptions("real", Settings(os.environ["URL"], "k"))
serve(options, lambda url: print(url, flush=True), ending)
"""


async def test_headers_that_are_never_finished_are_closed_after_a_bound(lab: Lab) -> None:
    """Fifty connections that send half a head or nothing each get 408 and are closed; other callers are served."""
    words = [sys.executable, "-c", textwrap.dedent(UNFINISHED)]
    pipe = subprocess.PIPE
    env = os.environ | {"URL": lab.url}
    with subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()

        async def unfinished(begun: bytes) -> bytes:
            reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(url).port)
            writer.write(begun)
            got = await asyncio.wait_for(reader.read(), 30)
            writer.close()
            return got

        begun = [b"GET /contests HTTP/1.1\r\nHost: x\r\n", b""] * 25
        waiting = asyncio.gather(*map(unfinished, begun))
        async with httpx.AsyncClient() as caller:
            assert (await caller.get(f"{url}/health")).status_code == 200
        assert {got.split(b" ")[1] for got in await waiting} == {b"408"}
        process.communicate("", timeout=30)
    assert process.returncode == 0
