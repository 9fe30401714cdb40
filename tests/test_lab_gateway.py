"""The lab's public door: addresses, keys, sizes, limits, and what it says when it refuses."""

from __future__ import annotations

import asyncio
import http.client
import logging
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import psutil
import pytest
from labwork import ROWS, call, close, connect, get_request, raw, told

from supalab.lab.app import LabApp
from supalab.lab.conditions import Conditions, LiveConditions
from supalab.lab.gateway import Gate, headers_of, without_key
from supalab.lab.handle import Lab
from supalab.lab.messages import Answer, Request
from supalab.lab.witness import Tally


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
    "host", ["evil.example", "localhost:{port}", "127.0.0.1", "127.0.0.1:1", "evil.example:{port}"]
)
def test_another_host_is_refused(lab: Lab, host: str) -> None:
    """A page whose name was pointed at this address gets a 400, whatever the key."""
    status, _, _ = call(lab, host=host.format(port=urlsplit(lab.url).port))
    assert status == 400


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

    def answer(self, request: Request) -> Answer:
        raise RuntimeError("secret inside")


async def test_a_bug_becomes_a_500_that_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected failure is logged, and answered in PostgREST's shape without a word of the inside."""
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
