"""Serves HTTP on this machine with uvicorn, as a child process or a command does: until an event ends it.

uvicorn's fast protocol keeps a request line and headers in memory however long they grow; ``HttpProtocol`` bounds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from supalab.errors import LabError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

__all__ = ["HEAD_LIMIT", "HOST", "HttpProtocol", "ManagedServer", "listen"]

HOST = "127.0.0.1"
HEAD_LIMIT = 64 * 1024
"""Bytes of a request line with its headers; what common servers take."""
HEAD_S = 30.0
"""Seconds in which a request line with its headers must be complete, from the first byte or the connection's start."""
#: How long a refused caller's bytes are still read, and dropped: hanging up at once could take the answer away.
LINGER_S = 1.0
PIECE = 16 * 1024
REFUSALS = {
    408: (b"Request Timeout", b"the request line and headers took longer than %d seconds: send them at once" % HEAD_S),
    414: (b"URI Too Long", b"the request line is longer than %d bytes: shorten the query" % HEAD_LIMIT),
    431: (b"Request Header Fields Too Large", b"the headers are longer than %d bytes: shorten them" % HEAD_LIMIT),
}


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a bounded request head; a caller above the bound gets 408, 414 or 431 and is hung up on."""

    _in_head = _refused = False
    _head = 0
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve; the first request has to come in time."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._limit_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limit with the connection."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in pieces, so that the size of a head is known early."""
        for start in range(0, len(data), PIECE):
            if self._refused or self.transport.is_closing():
                return
            piece = data[start : start + PIECE]
            super().data_received(piece)
            if self._in_head:
                self._head += len(piece)
                if self._head > HEAD_LIMIT:
                    self._refuse(414 if len(self.url) > HEAD_LIMIT // 2 else 431)
                else:
                    self._limit_time()

    def on_message_begin(self) -> None:
        """Begin to count a request's head, and tell the application when it came (as ``time.perf_counter``)."""
        self._in_head, self._head = True, 0
        super().on_message_begin()
        scope: Any = self.scope
        scope["arrived"] = perf_counter()

    def on_headers_complete(self) -> None:
        """Let the body be as long as the application takes it."""
        self._end_head()
        super().on_headers_complete()

    def _limit_time(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HEAD_S, self._refuse, 408)

    def _end_head(self) -> None:
        self._in_head = False
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        self._end_head()
        self._refused = True
        transport: Any = self.transport
        if self.cycle is not None and not self.cycle.response_complete:
            transport.close()  # the caller would take a refusal for the answer to the request before
        if transport.is_closing():
            return
        reason, words = REFUSALS[status]
        body = b'{"message":"%s"}' % words
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        transport.write(head % (status, reason, len(body)) + body)
        if transport.can_write_eof():
            transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, transport.close)


class ManagedServer(uvicorn.Server):
    """uvicorn's server, with a call when it is ready and an event that ends it, in place of its signals."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None], ending: Event) -> None:
        super().__init__(config)
        self._ready, self._ending = ready, ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then say so."""
        await super().startup(sockets)
        self._ready()

    async def on_tick(self, counter: int) -> bool:
        """Look, ten times a second, whether the end was asked for."""
        self.should_exit = self.should_exit or self._ending.is_set()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave signals alone: uvicorn would raise them again at the end, and a clean end must be exit code 0."""
        yield


def listen(port: int, host: str = HOST) -> socket.socket:
    """Return a socket bound to ``host``, an address, and ``port``; raises LabError when the port is taken or forbidden.

    It names TCP and turns Nagle's algorithm off: without that, each request on a kept connection takes about
    44 ms more (github.com/Kludex/uvicorn issue 3149).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    # On Windows this option would let another program share the port.
    if sys.platform != "win32":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        sock.bind((host, port))
        sock.listen(2048)
    except OSError as error:
        sock.close()
        raise LabError(_why_not(port, host, error)) from None
    return sock


def _why_not(port: int, host: str, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use: end what listens there, or give port 0 for any free one"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"host {host!r} is no address of this machine ({error.strerror}): give {HOST}, or 0.0.0.0 for every one"
    return f"port {port} cannot be used ({error.strerror}): give port 0 for any free one"
