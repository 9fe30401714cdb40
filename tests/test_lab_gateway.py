"""The lab's gateway: addresses, keys, sizes, limits, and its refusals."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import logging
import socket
import ssl
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import psutil
import pytest
import uvicorn
from labwork import ROWS, call, close, connect, get_request, raw, read_answer, told
from uvicorn.server import ServerState

from supalab.errors import LabError
from supalab.lab.app import LabApp, send_answer
from supalab.lab.conditions import Conditions, LiveConditions
from supalab.lab.gateway import Gate, headers_of, without_key
from supalab.lab.handle import Lab
from supalab.lab.postgrest.http import Answer, Request
from supalab.lab.witness import Tally
from supalab.process import serving


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    with Lab() as running:
        yield running


def test_a_request_with_the_key_gets_rows(lab: Lab) -> None:
    """The key opens the door as ``apikey``, as a Bearer token, as both, and as a parameter."""
    bearer = f"Bearer {lab.key}"
    for headers in ({}, {"authorization": bearer}, {"apikey": "", "authorization": bearer}):
        status, _, body = call(lab, **headers)
        assert (status, told(body)) == (200, [{"id": 1}])
    status, _, body = call(lab, f"{ROWS}&apikey={lab.key}", apikey="")
    assert (status, told(body)) == (200, [{"id": 1}])


@pytest.mark.parametrize("headers", [{"apikey": ""}, {"apikey": "", "authorization": "Basic abc"}])
def test_no_key_is_refused_in_the_gateways_words(lab: Lab, headers: dict[str, str]) -> None:
    """A request without a key gets the gateway's 401, which has a message and a hint and nothing else."""
    status, _, body = call(lab, **headers)
    assert status == 401
    assert told(body) == {
        "message": "No API key found in request",
        "hint": "No `apikey` request header or url param was found.",
    }


@pytest.mark.parametrize("headers", [{"apikey": "wrong"}, {"apikey": "", "authorization": "Bearer wrong"}])
def test_a_wrong_key_is_refused_and_not_repeated(lab: Lab, headers: dict[str, str]) -> None:
    """A wrong key gets a 401 that holds neither the wrong nor the right one."""
    status, _, body = call(lab, **headers)
    assert status == 401
    assert told(body)["message"] == "Invalid API key"
    assert lab.key.encode() not in body
    assert b"wrong" not in body


def test_a_key_outside_latin_letters_is_just_wrong() -> None:
    """Bytes that are no text compare as wrong, they do not break the comparison."""
    refusal = Gate(1, "k").refusal(headers_of([(b"apikey", b"\xff\xfe\xc3\xa9")]), "")
    assert refusal is not None
    assert refusal.status == 401


def test_the_key_is_taken_out_of_the_query() -> None:
    """What the dialect gets is the query without the key, otherwise letter for letter."""
    assert without_key("select=*&apikey=k&title=eq.a%26apikey=b") == "select=*&title=eq.a%26apikey=b"


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost", "localhost:1", "127.0.0.1", "127.0.0.1:1", "evil.example:{port}"]
)
def test_another_host_is_refused(lab: Lab, host: str) -> None:
    """A page whose name was pointed at this address gets a 400, whatever the key."""
    status, _, body = call(lab, host=host.format(port=urlsplit(lab.url).port))
    assert status == 400
    assert host.format(port=urlsplit(lab.url).port) in told(body)["message"]
    assert f"use {lab.url} instead" in told(body)["message"]


@pytest.mark.parametrize("name", ["localhost", "LocalHost"])
def test_localhost_is_this_server_too(lab: Lab, name: str) -> None:
    """The name that every machine has for itself is as good as its address."""
    assert call(lab, host=f"{name}:{urlsplit(lab.url).port}")[0] == 200


def test_the_key_looks_like_a_publishable_key(lab: Lab) -> None:
    """Official clients look at a key's first letters."""
    assert lab.key.startswith("sb_publishable_")


PAGES = [
    "http://localhost:5173",
    "http://127.0.0.1:8000",
    "http://localhost",
    "https://localhost:443",
    "http://[::1]:1",
]
FOREIGN = [
    "https://evil.example",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example:80",
    "null",
    "http://x",
]


@pytest.mark.parametrize("origin", PAGES)
def test_a_page_of_this_machine_may_use_the_lab(lab: Lab, origin: str) -> None:
    """Its preflight needs no key, gets the headers it asks for, and is not counted; its requests still need the key."""
    wanted = "apikey,authorization,content-profile,prefer,x-client-info,x-new"
    asking = {"origin": origin, "access_control_request_method": "PATCH", "access_control_request_headers": wanted}
    before = lab.witness().served
    status, headers, body = call(lab, "/rest/v1/contests?limit=1", "OPTIONS", apikey="", **asking)
    assert (status, body, headers["content-length"]) == (200, b"", "0")
    assert headers["access-control-allow-origin"] == origin
    assert headers["access-control-allow-headers"] == wanted
    assert {"GET", "POST", "PATCH", "PUT", "DELETE"} <= set(headers["access-control-allow-methods"].split(","))
    assert int(headers["access-control-max-age"]) > 0
    assert lab.witness().served == before
    status, headers, _ = call(lab, origin=origin)
    assert (status, headers["access-control-allow-origin"], headers["vary"]) == (200, origin, "Origin")
    assert "Content-Range" in headers["access-control-expose-headers"]
    for path, key, expected in ((ROWS, "", 401), ("/rest/v1/nix", lab.key, 404), (f"{ROWS}&nix=eq.1", lab.key, 400)):
        status, headers, _ = call(lab, path, origin=origin, apikey=key)
        assert (status, headers["access-control-allow-origin"]) == (expected, origin)


@pytest.mark.parametrize("origin", FOREIGN)
def test_a_page_from_elsewhere_may_not(lab: Lab, origin: str) -> None:
    """It gets no header that would let its scripts read anything."""
    status, headers, body = call(lab, method="OPTIONS", origin=origin, access_control_request_method="GET")
    assert status == 403
    assert origin in told(body)["message"]
    assert "access-control-allow-origin" not in headers
    assert "access-control-allow-origin" not in call(lab, origin=origin)[1]


async def test_two_hosts_are_refused(lab: Lab) -> None:
    """A second Host header cannot hide behind a right one."""
    reader, writer = await raw(lab, get_request(lab, more="Host: evil.example\r\n"))
    assert (await reader.readline()).startswith(b"HTTP/1.1 400")
    await close(writer)


@pytest.mark.parametrize("path", ["/", "/rest/v2/contests", "/rest/v1x", "/auth/v1/user", "/witness"])
def test_other_paths_have_no_route(lab: Lab, path: str) -> None:
    """Only ``/rest/v1`` is served."""
    status, _, body = call(lab, path)
    assert (status, told(body)) == (404, {"message": "no Route matched with those values"})


def test_it_listens_to_this_machine_only(lab: Lab) -> None:
    """Every socket of the lab listens on 127.0.0.1, and the machine's other addresses are refused."""
    listening = [at for at in psutil.Process(lab.pid).net_connections("inet") if at.status == psutil.CONN_LISTEN]
    assert len(listening) == 2
    assert {at.laddr.ip for at in listening} == {"127.0.0.1"}
    addresses = [entry.address for entries in psutil.net_if_addrs().values() for entry in entries]
    for address in addresses:
        if address.count(".") == 3 and not address.startswith("127."):
            with pytest.raises(OSError), socket.create_connection((address, urlsplit(lab.url).port), timeout=5):
                pass


def test_an_announced_body_above_the_cap_is_refused(lab: Lab) -> None:
    """A Content-Length above 1 MB gets a 413, and the same connection serves on."""
    connection = connect(lab)
    connection.request("POST", "/rest/v1/contests", b"x" * (2 * 1024 * 1024), {"apikey": lab.key})
    response = connection.getresponse()
    assert response.status == 413
    response.read()
    connection.request("GET", ROWS, headers={"apikey": lab.key})
    assert connection.getresponse().status == 200
    connection.close()


def test_a_chunked_body_above_the_cap_is_refused(lab: Lab) -> None:
    """A body that does not say its size is counted as it comes."""
    connection = connect(lab)
    chunks = (b"x" * 65_536 for _ in range(32))
    connection.request("POST", "/rest/v1/contests", chunks, {"apikey": lab.key}, encode_chunked=True)
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_below_the_cap_comes_through_in_pieces(lab: Lab) -> None:
    """A large chunked body within the cap reaches the table whole."""
    row = b'{"id": 900001, "title": "' + b"long " * 100_000 + b'"}'
    connection = connect(lab)
    pieces = (row[start : start + 50_000] for start in range(0, len(row), 50_000))
    headers = {"apikey": lab.key, "Content-Type": "application/json", "Prefer": "return=representation"}
    connection.request("POST", "/rest/v1/contests", pieces, headers, encode_chunked=True)
    response = connection.getresponse()
    assert response.status == 201
    assert len(told(response.read())[0]["title"]) == 500_000
    connection.close()


def test_head_has_headers_and_no_body(lab: Lab) -> None:
    """HEAD is answered like GET, without the rows."""
    status, _, body = call(lab, method="HEAD")
    assert (status, body) == (200, b"")


async def test_above_the_limit_requests_are_turned_away() -> None:
    """Of a burst of twice the limit half is served and half gets 503 with Retry-After; none of those was in flight."""
    with Lab(latency=0.4, max_in_flight=5) as lab:
        ends = [await raw(lab, get_request(lab)) for _ in range(10)]
        heads = [await reader.readuntil(b"\r\n\r\n") for reader, _ in ends]
        for _, writer in ends:
            await close(writer)
        refused = [head for head in heads if head.startswith(b"HTTP/1.1 503")]
        seen = lab.witness()
    assert len(refused) == 5
    assert all(b"retry-after: 1" in head.lower() for head in refused)
    assert (seen.peak, seen.served, seen.refused) == (5, 5, 5)


class Broken:
    """A dialect with a bug."""

    def kept(self, request: Request) -> None:
        return None

    def answer(self, request: Request) -> Answer:
        raise RuntimeError("secret inside")


async def test_a_bug_becomes_a_500_that_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected failure is logged and answered in PostgREST's form, without internals."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    tally = Tally()
    app = LabApp(Broken(), LiveConditions(Conditions()), tally, Gate(80, "k"), max_in_flight=9)
    scope = {"method": "GET", "raw_path": b"/rest/v1/contests", "query_string": b""}
    with caplog.at_level(logging.ERROR, "supalab.lab"):
        await app({**scope, "headers": [(b"host", b"127.0.0.1"), (b"apikey", b"k")]}, receive, send)
    assert sent[0]["status"] == 500
    body = sent[1]["body"]
    assert isinstance(body, bytes)
    assert set(told(body)) == {"code", "message", "details", "hint"}
    assert b"secret" not in body
    assert "secret inside" in caplog.text
    assert tally.current == 0


async def test_nonsense_is_refused_and_the_lab_lives_on(lab: Lab) -> None:
    """Bytes that are no HTTP get a 400 and harm nobody else."""
    reader, writer = await raw(lab, b"\x16\x03\x01 this is not HTTP\r\n\r\n")
    assert (await reader.read()).startswith(b"HTTP/1.1 400")
    await close(writer)
    assert (await asyncio.to_thread(call, lab))[0] == 200


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /rest/v1/contests?title=eq.%s", 414),
        (b"GET /%s", 414),
        (b"GET /rest/v1/contests HTTP/1.1\r\nX-Long: %s", 431),
        (b"GET /rest/v1/contests HTTP/1.1\r\n%s: 1", 431),
    ],
)
@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_an_endless_head_is_refused_early(head: bytes, status: int, tls: bool) -> None:
    """A request line or header above 64 KB gets 414 or 431, the connection is closed, and memory stays."""
    with Lab(tls=tls) as lab:
        process = psutil.Process(lab.pid)
        call(lab)
        before = process.memory_info().rss
        context = ssl.create_default_context(cafile=str(lab.ca_file)) if tls else None
        reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(lab.url).port, ssl=context)
        writer.write(head % (b"a" * 200_000))
        answer = await asyncio.wait_for(reader.read(), 20)
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert answer.count(b"HTTP/1.1") == 1
        assert "bytes" in told(answer.partition(b"\r\n\r\n")[2])["message"]
        with contextlib.suppress(OSError):
            for _ in range(300):
                writer.write(b"a" * 100_000)
                await writer.drain()
        await close(writer)
        assert process.memory_info().rss - before < 8 * 2**20
        assert call(lab)[0] == 200


@pytest.mark.parametrize(("path", "more", "status"), [(66_000, 0, 414), (80_000, 0, 414), (0, 66_000, 431)])
async def test_a_head_just_above_the_bound_is_refused(lab: Lab, path: int, more: int, status: int) -> None:
    """Also when it arrives whole: the bound is one number, wherever the pieces end that are read at once."""
    request = get_request(lab, f"/rest/v1/contests?title=eq.{'a' * path}", more=f"X-Long: {'b' * more}\r\n")
    reader, writer = await raw(lab, request)
    assert (await reader.read()).startswith(b"HTTP/1.1 %d " % status)
    await close(writer)


async def test_a_long_head_within_the_bound_is_served(lab: Lab) -> None:
    """60 KB of request line and headers, in one piece, in many, and after another request on the connection."""
    path = f"/rest/v1/contests?select=id&id=in.({','.join('1' for _ in range(25_000))})"
    request = get_request(lab, path, more=f"X-Long: {'b' * 5_000}\r\n")
    reader, writer = await raw(lab, get_request(lab) + request)
    assert [(await read_answer(reader))[0] for _ in range(2)] == [200, 200]
    for start in range(0, len(request), 3_000):
        writer.write(request[start : start + 3_000])
        await writer.drain()
        await asyncio.sleep(0)
    assert (await read_answer(reader))[0] == 200
    await close(writer)


async def test_a_head_that_is_never_finished_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client with an unfinished head gets 408 and is disconnected; an idle connection is not."""
    monkeypatch.setattr(serving, "HEAD_S", 0.2)

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        await send_answer(send, Answer(200, (), b"fine"))

    config = uvicorn.Config(app, http=serving.HttpProtocol, log_config=None, lifespan="off", ws="none")
    config.load()
    state = ServerState()

    def protocol() -> asyncio.Protocol:
        return serving.HttpProtocol(config=config, server_state=state, app_state={})

    server = await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    whole = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
    for said, answered in ((b"", 408), (whole[:-2], 408), (whole, 200), (whole + whole[:9], 200)):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(said)
        assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 %d " % answered)
        rest = asyncio.create_task(reader.read())
        await asyncio.sleep(0.6)
        assert rest.done() is (said != whole)
        await close(writer)
        await rest
    server.close()


@pytest.mark.parametrize(
    ("method", "target", "body"),
    [
        ("GET", "/now", b""),
        ("GET", "/witness?abc", b""),
        ("GET", "/witness?" + "9" * 500, b""),
        ("GET", "/witness?%ff", b""),
        ("GET", "/witness?nan", b""),
        ("PATCH", "/conditions", b"{"),
        ("PATCH", "/conditions", b"\xff\xfe"),
        ("PATCH", "/conditions", b"[" * 60_000),
        ("PATCH", "/conditions", b"3"),
        ("PATCH", "/conditions", b'{"latency": 1e999}'),
        ("PATCH", "/conditions", b'{"latency": NaN}'),
        ("PATCH", "/conditions", b'{"latency": 1' + b"0" * 4_000 + b"}"),
        ("PATCH", "/conditions", b'{"latency": 1' + b"0" * 400 + b"}"),
        ("PATCH", "/conditions", b'{"tls": 1, "rtt": "a"}'),
        ("PATCH", "/conditions", b'{"": 0}'),
        ("DELETE", "/witness", b""),
        ("GET", "/%00", b""),
        ("OPTIONS", "*", b""),
        ("POST", "/reset", b"x" * 100_000),
    ],
)
def test_odd_requests_on_the_control_port_are_refused(lab: Lab, method: str, target: str, body: bytes) -> None:
    """Each gets a 4xx with one line of JSON, or an answer; none is a failure of the lab's."""
    child = lab._child
    assert child is not None
    connection = http.client.HTTPConnection("127.0.0.1", child.ready["control_port"], timeout=10)
    connection.request(method, target, body, {"Authorization": f"Bearer {child.ready['token']}"})
    response = connection.getresponse()
    words = told(response.read())
    assert response.status == 200 or (400 <= response.status < 500 and "\n" not in words["message"])
    connection.close()
    assert lab.conditions == Conditions()


def test_a_control_answer_that_is_no_json_is_one_clear_line(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody sees the words of a JSON reader."""
    monkeypatch.setattr(http.client.HTTPResponse, "read", lambda _: b"<html>no</html>")
    with pytest.raises(LabError, match=r"answered GET /witness.* with 200 '<html>no</html>'"):
        lab.witness()


@pytest.mark.parametrize("path", ["/witness", "/conditions", "/reset"])
def test_the_control_path_wants_its_own_token(lab: Lab, path: str) -> None:
    """The public key opens nothing there, nor does the token from another host name."""
    child = lab._child
    assert child is not None
    port, token = child.ready["control_port"], child.ready["token"]
    for headers in ({"Authorization": f"Bearer {lab.key}"}, {}, {"Authorization": f"Bearer {token}", "Host": "evil:1"}):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        connection.request("GET", path, headers=headers)
        assert connection.getresponse().status == 403
        connection.close()
