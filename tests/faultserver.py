"""A server that misbehaves on purpose: a test gives it a fault (an async function) and reads its counters.

It sends raw bytes over sockets in its own thread, because no HTTP library allows a server to be so wrong. As in
urllib3's tests, a function from the test decides what happens on a connection.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import socket
import ssl
import struct
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self, TypeAlias

ROWS = b'[{"id":1}]'


@dataclass
class Exchange:
    """One request and the way to respond to it; ``headers`` has lower-case names."""

    method: str
    target: str
    headers: dict[str, str]
    raw: bytes
    number: int
    reader: asyncio.StreamReader = field(repr=False)
    writer: asyncio.StreamWriter = field(repr=False)
    open: bool = True

    async def body(self) -> bytes:
        """Read the request's body, once."""
        size = int(self.headers.get("content-length", 0))
        data = await self.reader.readexactly(size)
        self.raw += data
        return data

    async def send(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.writer.write(data)
        await self.writer.drain()

    async def close(self) -> None:
        """End the connection properly, after everything was sent."""
        self.open = False
        self.writer.close()
        with suppress(OSError):
            await self.writer.wait_closed()

    def reset(self) -> None:
        """Reset the connection."""
        self.open = False
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("hh" if _WINDOWS else "ii", 1, 0))
        self.writer.transport.abort()

    @property
    def caller_left(self) -> bool:
        """Return whether the other side has closed the connection."""
        return self.reader.at_eof() or self.writer.is_closing()


_WINDOWS = hasattr(socket, "SIO_RCVALL")
Fault: TypeAlias = Callable[[Exchange], Awaitable[None]]


class FaultServer:
    """``with FaultServer(fault) as server``: every request meets ``fault``, which can be changed meanwhile.

    ``accepted``: connections. ``requests``: each request seen. ``finished``: targets with a complete response, whether
    or not the client was still there; ``left``: those whose client had gone. ``peak``: requests in flight at once.
    ``open``: connections now.
    """

    def __init__(self, fault: Fault, context: ssl.SSLContext | None = None) -> None:
        self.fault, self.context = fault, context
        self.accepted = self.peak = self.now = self.open = 0
        self.requests: list[Exchange] = []
        self.finished: list[str] = []
        self.left: list[str] = []

    @property
    def url(self) -> str:
        """The address for a client."""
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.port}"

    async def calm(self, fault: Fault) -> None:
        """Wait until nothing is in flight for a moment, then count the peak again, with this fault."""
        async with asyncio.timeout(20):
            still = 0
            while still < 10:
                seen = len(self.requests)
                await asyncio.sleep(0.02)
                still = still + 1 if self.now == 0 and seen == len(self.requests) else 0
        self.fault, self.peak = fault, 0

    def __enter__(self) -> Self:
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="faults", daemon=True)
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    async def _serve(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        self._loop.set_exception_handler(lambda loop, context: None)  # broken connections are expected here
        listener = socket.create_server(("127.0.0.1", 0), backlog=2048)
        self.port = listener.getsockname()[1]
        server = await asyncio.start_server(self._connection, sock=listener, ssl=self.context)
        self._ready.set()
        await self._stop.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        self.open += 1
        try:
            with suppress(OSError, EOFError, asyncio.LimitOverrunError):
                while await self._exchange(reader, writer):
                    pass
        finally:
            self.open -= 1
            writer.close()

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Handle one request with the fault; return whether the connection continues."""
        head = await reader.readuntil(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        exchange = Exchange(method, target, headers, head, len(self.requests) + 1, reader, writer)
        self.requests.append(exchange)
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            await self.fault(exchange)
        finally:
            self.now -= 1
        (self.left if exchange.caller_left and exchange.open else self.finished).append(target)
        return exchange.open


def answer(status: str = "200 OK", body: bytes = ROWS, *headers: str) -> bytes:
    """Return a whole answer as bytes; its length is right unless ``headers`` has another."""
    given = "".join(f"{line}\r\n" for line in headers)
    sized = "" if "content-length" in given.lower() else f"Content-Length: {len(body)}\r\n"
    return f"HTTP/1.1 {status}\r\nContent-Type: application/json\r\n{sized}{given}\r\n".encode("latin-1") + body


def reply(status: str = "200 OK", body: bytes = ROWS, *headers: str) -> Fault:
    """Respond as told; a HEAD gets no body."""

    async def fault(exchange: Exchange) -> None:
        await exchange.body()
        whole = answer(status, body, *headers)
        await exchange.send(whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n" if exchange.method == "HEAD" else whole)

    return fault


def raw(data: bytes) -> Fault:
    """Send these bytes, whatever they are, and close."""

    async def fault(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(data)
        await exchange.close()

    return fault


def slow(seconds: float, then: Fault | None = None) -> Fault:
    """Respond late."""
    after = then or reply()

    async def fault(exchange: Exchange) -> None:
        await asyncio.sleep(seconds)
        await after(exchange)

    return fault


async def hang(exchange: Exchange) -> None:
    """Never respond; end when the client has gone."""
    await exchange.body()
    while not exchange.caller_left:
        await asyncio.sleep(0.01)


def drip(size: int = 40, gap: float = 0.1) -> Fault:
    """Send a body of ``size`` bytes, one every ``gap`` seconds."""

    async def fault(exchange: Exchange) -> None:
        await exchange.body()
        whole = answer(body=b"[" + b" " * (size - 2) + b"]")
        await exchange.send(whole[:-size])
        for byte in whole[-size:]:
            await exchange.send(bytes([byte]))
            await asyncio.sleep(gap)

    return fault


async def die(exchange: Exchange) -> None:
    """Read the whole request and close without a response."""
    await exchange.body()
    await exchange.close()


async def break_off(exchange: Exchange) -> None:
    """Read the whole request and reset the connection."""
    await exchange.body()
    exchange.reset()


async def die_reading(exchange: Exchange) -> None:
    """Read half of the request's body, then reset the connection."""
    await exchange.reader.read(int(exchange.headers.get("content-length", 0)) // 2)
    exchange.reset()


async def close_after_reply(exchange: Exchange) -> None:
    """Respond as if the connection stayed open, then close it: the keep-alive race."""
    await reply()(exchange)
    await exchange.close()


async def half_body(exchange: Exchange) -> None:
    """Announce 100 bytes, send 10, close."""
    await exchange.body()
    await exchange.send(answer("200 OK", ROWS, "Content-Length: 100"))
    await exchange.close()


async def echo(exchange: Exchange) -> None:
    """Answer 400 with all the request's headers in every field of the error."""
    await exchange.body()
    said = "; ".join(f"{name}: {value}" for name, value in exchange.headers.items())
    names = ("code", "message", "details", "hint")
    await exchange.send(answer("400 Bad Request", json.dumps(dict.fromkeys(names, said)).encode()))


def repeat(before: bytes, after: bytes = b"") -> Fault:
    """Send bytes that contain the client's key, and close: a broken server that repeats what it was sent."""

    async def fault(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(before + exchange.headers.get("apikey", "").encode("latin-1") + after)
        await exchange.close()

    return fault


def redirect(to: str) -> Fault:
    """Point to another address."""
    return reply("302 Found", b"", f"Location: {to}")


def bomb(size: int = 50 * 1024 * 1024) -> Fault:
    """Send 48 KB that decompress to 50 MB of JSON, although nobody asked for compression."""
    return reply("200 OK", gzip.compress(b'["' + b" " * size + b'"]'), "Content-Encoding: gzip")


def huge(pieces: int = 1600) -> Fault:
    """Send 100 MB of plain body in chunks, for as long as the client reads it."""

    async def fault(exchange: Exchange) -> None:
        await exchange.body()
        await exchange.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(pieces):
            await exchange.send(b"10000\r\n" + b" " * 65536 + b"\r\n")
        await exchange.send(b"0\r\n\r\n")

    return fault


def in_turn(*faults: Fault) -> Fault:
    """The first request meets the first fault, and so on; the last fault stays."""

    async def fault(exchange: Exchange) -> None:
        await faults[min(exchange.number, len(faults)) - 1](exchange)

    return fault
