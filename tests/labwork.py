"""Helpers for the lab's tests: a small HTTP call, a raw one, and waiting for a condition with a generous limit."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from supalab.lab.handle import Lab

ROWS = "/rest/v1/contests?select=id&order=id&limit=1"


def call(
    lab: Lab, path: str = ROWS, method: str = "GET", body: bytes | None = None, **headers: str
) -> tuple[int, dict[str, str], bytes]:
    """Send one request on a new connection; return its status, headers and body."""
    connection = connect(lab)
    try:
        return again(connection, lab, path, method, body, **headers)
    finally:
        connection.close()


def connect(lab: Lab) -> http.client.HTTPConnection:
    """Return a connection to the lab, over TLS when it asks for that."""
    address = urlsplit(lab.url)
    if address.scheme == "https":
        context = ssl.create_default_context(cafile=str(lab.ca_file))
        return http.client.HTTPSConnection(str(address.hostname), address.port, timeout=30, context=context)
    return http.client.HTTPConnection(str(address.hostname), address.port, timeout=30)


def again(
    connection: http.client.HTTPConnection,
    lab: Lab,
    path: str = ROWS,
    method: str = "GET",
    body: bytes | None = None,
    **headers: str,
) -> tuple[int, dict[str, str], bytes]:
    """Send one request on ``connection``; a header given as an empty text is left out."""
    given = {"apikey": lab.key, **{name.replace("_", "-"): value for name, value in headers.items()}}
    connection.request(method, path, body, {name: value for name, value in given.items() if value})
    response = connection.getresponse()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, response.read()


def told(body: bytes) -> Any:
    """Return the value of a JSON body."""
    return json.loads(body)


def seconds(action: Callable[[], object]) -> float:
    """Return how long ``action`` took."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def soon(condition: Callable[[], object], bound: float = 20.0) -> bool:
    """Return whether ``condition`` became true within ``bound`` seconds, a limit that only catches a hang."""
    end = time.monotonic() + bound
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.02)
    return False


async def raw(lab: Lab, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection, send ``request`` unchanged, and return both ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", urlsplit(lab.url).port, limit=2**20)
    writer.write(request)
    await writer.drain()
    return reader, writer


def get_request(lab: Lab, path: str = ROWS, more: str = "") -> bytes:
    """Return a whole GET request as bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(lab.url).netloc}\r\napikey: {lab.key}\r\n{more}\r\n".encode()


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Return the status and the body of the next answer."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
    return int(head.split()[1]), await reader.readexactly(length)


async def close(writer: asyncio.StreamWriter) -> None:
    """Close the connection."""
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
