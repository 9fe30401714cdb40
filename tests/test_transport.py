"""Our transport alone: what a server may send in and between responses, and what happens to the next request."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import socket
import ssl
import sys
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import httpx
import pytest
import trustme
from faultserver import Exchange, Fault, FaultServer, answer, hang, in_turn, raw, repeat, reply

from supalab import SupabaseAsync
from supalab.clients.transports import Connection, PooledTransport
from supalab.errors import (
    ApiError,
    BadResponse,
    ClientError,
    ConnectionLost,
    DeadlineExceeded,
    OutcomeUnknown,
    SupalabError,
)

KEY = "sb_publishable_of_these_tests"
ONE = [{"id": 1}]
TWO = b'[{"id":2}]'


def then(fault: Fault, late: bytes, after: float = 0.05, *, close: bool = False) -> Fault:
    """Respond, and some time later send bytes that nobody asked for."""

    async def both(exchange: Exchange) -> None:
        await fault(exchange)
        await asyncio.sleep(after)
        await exchange.send(late)
        if close:
            await exchange.close()

    return both


UNASKED = {
    "a whole answer": answer(body=TWO),
    "half an answer": answer(body=TWO)[:30],
    "408": answer("408 Request Timeout", b"{}"),
    "not an HTTP response": b"hello\r\n",
    "one byte": b"H",
}


@pytest.mark.parametrize("close", [False, True])
@pytest.mark.parametrize("held_up", [False, True])
@pytest.mark.parametrize("unasked", list(UNASKED))
async def test_bytes_on_an_idle_connection_are_never_an_answer(unasked: str, held_up: bool, close: bool) -> None:
    """Sent after the answer, or while the loop is held up and cannot look: the next write goes elsewhere."""
    with FaultServer(in_turn(then(reply(), UNASKED[unasked], close=close), reply("201 Created"))) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            assert await client.select("t") == ONE
            if held_up:
                time.sleep(0.2)
            else:
                await asyncio.sleep(0.2)
            assert await client.insert("t", {"id": 1}) == ONE
    assert server.accepted == 2


def greeting_server(greeting: bytes, context: ssl.SSLContext | None = None) -> tuple[str, list[bytes]]:
    """Send ``greeting`` on a new connection at once; only then read a request (kept in the list) and answer it."""
    listener, seen = socket.create_server(("127.0.0.1", 0)), list[bytes]()

    def serve() -> None:
        with listener, suppress(OSError):
            plain, _ = listener.accept()
            with context.wrap_socket(plain, server_side=True) if context else plain as connection:
                connection.sendall(greeting)
                seen.append(connection.recv(65536))
                connection.sendall(answer("201 Created") if seen[0] else b"")

    threading.Thread(target=serve, daemon=True).start()
    return f"http{'s' if context else ''}://127.0.0.1:{listener.getsockname()[1]}", seen


def delay_after_connecting(monkeypatch: pytest.MonkeyPatch, *, held_up: bool) -> None:
    """What the server sends at once has arrived before the transport has the connection, or waits to be read."""
    loop = asyncio.get_running_loop()
    connect = loop.create_connection

    async def delayed(*args: Any, **options: Any) -> Any:
        made = await connect(*args, **options)
        if held_up:
            time.sleep(0.2)
        else:
            await asyncio.sleep(0.2)
        return made

    monkeypatch.setattr(loop, "create_connection", delayed)


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("held_up", [False, True])
@pytest.mark.parametrize("unasked", [*UNASKED, "nothing"])
async def test_bytes_on_a_new_connection_are_never_an_answer(
    unasked: str, held_up: bool, secure: bool, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that speaks first has not read the write, so nothing was sent; TLS's own first messages are no such."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    url, seen = greeting_server(UNASKED.get(unasked, b""), context if secure else None)
    delay_after_connecting(monkeypatch, held_up=held_up)
    async with SupabaseAsync(url, KEY, ca_file=str(tmp_path / "ca.pem"), timeout=10) as client:
        if unasked == "nothing":
            assert await client.insert("t", {"id": 1}) == ONE
        else:
            with pytest.raises(ConnectionLost, match="before the request") as caught:
                await client.insert("t", {"id": 1})
            assert not isinstance(caught.value, OutcomeUnknown)
            assert seen in ([], [b""])


async def test_a_caller_who_is_cancelled_as_a_connection_is_made_leaves_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Under TLS 1.3, the server's first messages are read between connecting and sending."""

    def cancelled_meanwhile(connection: Connection) -> bool:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        return False

    with FaultServer(reply()) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            monkeypatch.setattr(Connection, "usable", cancelled_meanwhile)
            call = asyncio.create_task(client.select("t"))
            await asyncio.wait([call])
            assert call.cancelled()
            async with asyncio.timeout(20):
                while server.open or not server.accepted:
                    await asyncio.sleep(0.01)
    assert (server.accepted, server.requests) == (1, [])


@pytest.mark.parametrize("unasked", list(UNASKED))
async def test_bytes_behind_an_answer_are_never_the_next_one(unasked: str) -> None:
    """The same in one piece with the answer before it."""
    with FaultServer(in_turn(then(raw_kept(answer() + UNASKED[unasked]), b"", 0), reply("201 Created"))) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            assert await client.select("t") == ONE
            assert await client.insert("t", {"id": 1}) == ONE
    assert server.accepted == 2


def raw_kept(data: bytes) -> Fault:
    """Send these bytes and keep the connection."""

    async def fault(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(data)

    return fault


@pytest.mark.parametrize("status", ["204 No Content", "304 Not Modified"])
@pytest.mark.parametrize("gap", [0.0, 0.05])
async def test_a_body_where_none_may_be_costs_the_connection_and_nothing_else(status: str, gap: float) -> None:
    """204 and 304 have no body: with one, the connection is not used again, and the next write is not in doubt."""
    first = then(raw_kept(f"HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\n".encode()), b"[]", gap)
    with FaultServer(in_turn(first, reply("201 Created"))) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with suppress(ApiError):  # 304 is no success
                await client.delete("t", filters={"id": 1}, return_="minimal")
            await asyncio.sleep(0.1)
            assert await client.insert("t", {"id": 1}) == ONE
    assert server.accepted == 2


async def test_a_connection_that_died_while_idle_is_noticed_before_a_write() -> None:
    """The server closes it while the loop is held up: the write goes over another one, and is not in doubt."""

    async def close_late(exchange: Exchange) -> None:
        await reply()(exchange)
        await asyncio.sleep(0.05)
        await exchange.close()

    with FaultServer(in_turn(close_late, reply("201 Created"))) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            await client.select("t")
            time.sleep(0.2)
            assert await client.insert("t", {"id": 1}) == ONE
    assert server.accepted == 2


async def test_a_server_that_answers_and_says_goodbye_is_believed() -> None:
    """Connection: close, HTTP/1.0, and an answer that ends with its connection: read whole, then over another one."""
    ends = {
        "close": b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 10\r\n\r\n" + answer()[-10:],
        "1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 10\r\n\r\n" + answer()[-10:],
        "until close": b"HTTP/1.1 200 OK\r\n\r\n" + answer()[-10:],
    }
    ends["interim"] = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ends["close"]
    for data in ends.values():
        with FaultServer(raw(data)) as server:
            async with SupabaseAsync(server.url, KEY) as client:
                assert await client.insert("t", {"id": 1}) == ONE
                assert await client.insert("t", {"id": 1}) == ONE
        assert server.accepted == 2


@pytest.mark.parametrize("status", ["000", "007", "099", "101"])
async def test_a_status_that_is_none_is_a_broken_answer(status: str) -> None:
    """Not an interim answer behind which another one is awaited until the deadline."""
    with FaultServer(raw_kept(f"HTTP/1.1 {status} X\r\nContent-Length: 2\r\n\r\n[]".encode())) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(ConnectionLost, match="protocol|status"):
                await client.select("t")


@pytest.mark.parametrize("body", [b"", b"null", b"[", b"[{"])
async def test_a_read_that_ends_with_its_connection_and_is_cut_off_is_no_empty_table(body: bytes) -> None:
    """Nothing tells how long it should have been, so what came must be JSON, and an array or an object."""
    with FaultServer(raw(b"HTTP/1.1 200 OK\r\n\r\n" + body)) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(BadResponse):
                await client.select("t")


async def test_gzip_of_two_members_is_read_whole() -> None:
    """Two files in one are one: both parts of the array arrive."""
    packed = gzip.compress(b'[{"id":1},') + gzip.compress(b'{"id":2}]')
    with FaultServer(reply("200 OK", packed, "Content-Encoding: gzip")) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            assert await client.select("t") == [{"id": 1}, {"id": 2}]
            server.fault = reply("200 OK", packed + b"rest", "Content-Encoding: gzip")
            with pytest.raises(BadResponse, match="compressed"):
                await client.select("t")


@pytest.mark.parametrize("begin", ["interim", "header", "extension", "trailer", "reason"])
async def test_what_never_ends_is_read_within_a_bound(begin: str) -> None:
    """1xx answers, one header, a chunk's extension, trailers, a reason: 50 MB are offered, the client stops early."""
    starts = {
        "interim": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"),
        "header": (b"HTTP/1.1 200 OK\r\nX: ", b"x" * 1000),
        "extension": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", b"a" * 1000),
        "trailer": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: " + b"y" * 1000 + b"\r\n"),
        "reason": (b"HTTP/1.1 200 ", b"x" * 1000),
    }
    sent = 0

    async def flood(exchange: Exchange) -> None:
        nonlocal sent
        await exchange.send(starts[begin][0])
        while sent < 50_000_000:
            piece = starts[begin][1] * 20
            await exchange.send(piece)
            sent += len(piece)

    with FaultServer(flood) as server:
        async with SupabaseAsync(server.url, KEY, timeout=20) as client:
            with pytest.raises(OutcomeUnknown):
                await client.insert("t", {"id": 1})
        assert len(server.requests) == 1
    assert sent < 20_000_000  # what the sockets' buffers hold comes on top of 256 KB


class FakeTime:
    """Moves a loop's clock: nobody has to wait for a deadline, and no machine can be too slow for one."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self.ahead)


async def never(*_: Any, **__: Any) -> Any:
    await asyncio.Event().wait()


@pytest.mark.parametrize("seconds", [2.0, 60.0])
@pytest.mark.parametrize("stuck", ["name", "tcp", "tls"])
async def test_row_22_a_write_that_was_not_sent_was_not_applied(
    stuck: str, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stuck in the name look-up, in connecting or in the TLS handshake: the phase is known, whatever the timeout."""
    loop = asyncio.get_running_loop()
    clock = FakeTime(monkeypatch)
    if stuck == "name":
        monkeypatch.setattr(loop, "getaddrinfo", never)
    if stuck == "tcp":
        monkeypatch.setattr(loop, "sock_connect", never)
    with FaultServer(hang) as server:
        url = server.url.replace("http:", "https:") if stuck == "tls" else server.url
        url = url.replace("127.0.0.1", "db.test") if stuck == "name" else url
        async with SupabaseAsync(url, KEY, timeout=seconds) as client:
            call = asyncio.create_task(client.insert("t", {"id": 1}))
            await asyncio.sleep(0.2)
            clock.ahead = seconds
            with pytest.raises(DeadlineExceeded, match="a connection") as caught:
                await call
        assert (caught.value.phase, server.requests) == ("connect", [])
    assert "applied" not in str(caught.value)


async def test_row_22_a_write_that_was_sent_is_in_doubt(monkeypatch: pytest.MonkeyPatch) -> None:
    """The counterpart, over a new connection and over a kept one."""
    clock = FakeTime(monkeypatch)
    with FaultServer(in_turn(hang, reply(), hang)) as server:
        async with SupabaseAsync(server.url, KEY, timeout=60) as client:
            for number in (1, 3):
                call = asyncio.create_task(client.insert("t", {"id": 1}))
                while len(server.requests) < number:
                    await asyncio.sleep(0.01)
                clock.ahead += 60
                with pytest.raises(DeadlineExceeded, match="may have been applied"):
                    await call
                if number == 1:
                    await client.select("t")
    assert server.accepted == 2


def tls_server(answers: list[bytes], *, notify: bool) -> tuple[str, trustme.CA, threading.Thread]:
    """Answer one request for each of ``answers`` over TLS, then end with or without saying so."""
    authority = trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with listener:
            for data in answers:
                plain, _ = listener.accept()
                with context.wrap_socket(plain, server_side=True, suppress_ragged_eofs=True) as secure:
                    secure.recv(65536)
                    secure.sendall(data)
                    if notify:
                        with suppress(OSError):
                            secure.unwrap()
                    else:
                        secure.shutdown(socket.SHUT_RDWR)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    return f"https://127.0.0.1:{listener.getsockname()[1]}", authority, thread


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_connections_over_tls_are_kept(version: ssl.TLSVersion, tmp_path: Any) -> None:
    """In every version: reads, and writes that need many packets."""
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    with FaultServer(reply(), context) as server:
        async with SupabaseAsync(server.url, KEY, ca_file=str(tmp_path / "ca.pem"), limit=3) as client:
            for _ in range(5):
                assert await client.select("t") == ONE
                assert await client.insert("t", {"text": "x" * 1_000_000}) == ONE
            assert server.accepted == 1
            await asyncio.gather(*(client.select("t") for _ in range(30)))
    assert server.accepted <= 3


@pytest.mark.parametrize("notify", [True, False])
async def test_an_answer_over_tls_that_is_cut_off_is_an_error(notify: bool, tmp_path: Any) -> None:
    """Without a length, only close_notify tells that all has come: anybody on the way can end a connection."""
    url, authority, thread = tls_server([b"HTTP/1.1 200 OK\r\n\r\n[]"] * (1 if notify else 3), notify=notify)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    async with SupabaseAsync(url, KEY, ca_file=str(tmp_path / "ca.pem"), timeout=10) as client:
        if notify:
            assert await client.select("t") == []
        else:
            with pytest.raises(ConnectionLost):
                await client.select("t")
    await asyncio.to_thread(thread.join, 10)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("GET\r\nX: 1", {}),
        ("GE T", {}),
        ("GET", {"X": "a\r\nY: b"}),
        ("GET", {"X": "a\nb"}),
        ("GET", {"X": "a\0b"}),
        ("GET", {"X\r\nY": "a"}),
        ("GET", {"X y": "a"}),
        ("GET", {"X:": "a"}),
        ("GET", {"": "a"}),
        ("GET", {"Content-Length": "7"}),
    ],
)
async def test_nothing_of_a_request_leaves_its_place(method: str, headers: dict[str, str]) -> None:
    """A method, a header's name or value that would begin another line is refused, and nothing is sent."""
    with FaultServer(reply()) as server:
        async with httpx.AsyncClient(transport=PooledTransport(server.url), trust_env=False) as client:
            with pytest.raises(httpx.LocalProtocolError):
                await client.request(method, f"{server.url}/t", headers=headers)
            for address in ("http://elsewhere.test/", server.url.replace("http:", "https:")):
                with pytest.raises(httpx.UnsupportedProtocol):
                    await client.get(address)
        assert server.accepted == 0


async def test_it_is_a_transport_like_any_other() -> None:
    """Under httpx's own client: bodies of every kind, HEAD, streaming, timeouts."""

    async def parts() -> Any:
        yield b'{"a":'
        yield b"1}"

    seen: list[bytes] = []

    async def keep(exchange: Exchange) -> None:
        seen.append(await exchange.body())
        await (hang(exchange) if exchange.target == "/hang" else exchange.send(answer()))

    async def head(exchange: Exchange) -> None:
        await exchange.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")

    with FaultServer(keep) as server:
        async with httpx.AsyncClient(transport=PooledTransport(server.url), base_url=server.url) as client:
            assert (await client.post("/t", content=parts())).json() == ONE
            assert (await client.post("/t", json={"a": 1})).http_version == "HTTP/1.1"
            assert (await client.get("/t", params={"a": "é"})).json() == ONE
            async with client.stream("GET", "/t") as response:
                assert [piece async for piece in response.aiter_bytes()] == [answer()[-10:]]
            assert server.accepted == 1
            server.fault = head
            assert (await client.head("/t")).content == b""
            server.fault = keep
            assert (await client.get("/t")).json() == ONE
            assert server.accepted == 1
            with pytest.raises(httpx.ReadTimeout):
                await client.get("/hang", timeout=0.1)
    assert seen[:2] == [b'{"a":1}', b'{"a":1}']
    assert server.requests[2].target == "/t?a=%C3%A9"


async def test_idle_connections_are_closed_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten at once, then one now and then: the one used last stays, the others are closed."""
    async with asyncio.TaskGroup() as group:
        with FaultServer(reply()) as server:
            transport = PooledTransport(server.url, keep_alive=0.3)
            async with httpx.AsyncClient(transport=transport, trust_env=False) as client:
                for _ in range(10):
                    group.create_task(client.get(server.url))
                await asyncio.sleep(0.1)
                assert server.open == 10
                for _ in range(8):
                    await client.get(server.url)
                    await asyncio.sleep(0.1)
                assert (server.open, server.accepted) == (1, 10)
                await asyncio.sleep(0.8)
                assert server.open == 0


async def test_an_answer_before_the_end_of_a_request_costs_the_connection() -> None:
    """A server refuses a large body without reading it: the caller gets its words, the connection is not used again."""

    async def refuse(exchange: Exchange) -> None:
        await exchange.send(answer("413 Content Too Large", b'{"message":"too large"}'))
        await asyncio.sleep(0.3)

    with FaultServer(in_turn(refuse, reply())) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            with pytest.raises(ApiError, match="too large"):
                await client.insert("t", {"text": "x" * 20_000_000})
            assert await client.select("t") == ONE
    assert server.accepted == 2


def plain_text(value: object) -> str:
    try:
        return repr(value)
    except Exception:
        return ""


async def run_into(fault: Fault, call: Callable[[SupabaseAsync], Awaitable[Any]]) -> BaseException:
    with FaultServer(fault) as server:
        async with SupabaseAsync(server.url, KEY, timeout=0.4, token="USERTOKEN9876543210") as client:
            with pytest.raises(SupalabError) as caught:
                await call(client)
    return caught.value


@pytest.mark.parametrize("fault", ["hang", "raw", "flood", "busy", "bad", "header", "encoding", "no rows"])
@pytest.mark.parametrize("verb", ["select", "insert"])
async def test_no_frame_of_an_error_shows_the_key(fault: str, verb: str) -> None:
    """Sentry and rich show the local variables of every frame that an error, its cause or its context keeps."""
    faults = {
        "hang": hang,
        "raw": raw(b"garbage\r\n\r\n"),
        "flood": raw(b"HTTP/1.1 100 C\r\n\r\n" * 40),
        "busy": reply("503 Busy", b"{}"),
        "bad": reply("200 OK", b"<html>"),
        "header": repeat(b"HTTP/1.1 200 OK\r\nX: ", b"\r\n\r\n["),
        "encoding": repeat(b"HTTP/1.1 200 OK\r\nContent-Encoding: ", b"\r\n\r\n["),
        "no rows": repeat(b'HTTP/1.1 200 OK\r\n\r\n[1,"', b'"]'),
    }
    error: BaseException | None = await run_into(
        faults[fault], lambda db: db.select("t") if verb == "select" else db.insert("t", {"id": 1})
    )
    seen = 0
    while error is not None:
        trace = error.__traceback__
        while trace is not None:
            if "supalab" in trace.tb_frame.f_code.co_filename and "tests" not in trace.tb_frame.f_code.co_filename:
                seen += 1
                for name, value in trace.tb_frame.f_locals.items():
                    text = plain_text(value)
                    assert KEY not in text, f"{trace.tb_frame.f_code.co_qualname}: {name}"
                    assert "USERTOKEN" not in text, f"{trace.tb_frame.f_code.co_qualname}: {name}"
            trace = trace.tb_next
        error = error.__cause__ or error.__context__
    assert seen


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
async def test_after_a_fork_the_error_names_it() -> None:
    """The child has the parent's connections, which two processes cannot share: it is told to make a client."""
    with FaultServer(reply()) as server:
        async with SupabaseAsync(server.url, KEY) as client:
            await client.select("t")
            reading, writing = os.pipe()
            child = os.fork()
            if child == 0:  # pragma: no cover
                said = "nothing"
                try:
                    asyncio.events._set_running_loop(None)
                    asyncio.run(client.select("t"))
                except ClientError as error:
                    said = str(error)
                except BaseException as error:
                    said = repr(error)
                os.write(writing, json.dumps(said).encode())
                os._exit(0)
            os.close(writing)
            said = await asyncio.to_thread(os.read, reading, 10_000)
            os.close(reading)
            await asyncio.to_thread(os.waitpid, child, 0)
            assert "fork" in json.loads(said)
            assert "in the child" in json.loads(said)
            assert await client.select("t") == ONE


@pytest.mark.skipif(sys.platform == "win32", reason="uvloop has no Windows")
def test_it_runs_on_uvloop() -> None:
    """A service on uvicorn has uvloop under it, which differs in what connecting takes."""
    import uvloop

    async def work(url: str) -> Any:
        async with SupabaseAsync(url, KEY, limit=3) as client:
            return await asyncio.gather(*(client.select("t") for _ in range(20)))

    with FaultServer(reply()) as server:
        for url in (server.url, server.url.replace("127.0.0.1", "localhost")):
            assert uvloop.run(work(url)) == [ONE] * 20
        assert server.accepted <= 6
