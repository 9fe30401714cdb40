"""Serve HTTP on this machine with uvicorn until an event is set.

uvicorn's fast protocol does not limit the size of a request line and headers; ``HttpProtocol`` does.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import sys
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from supalab.errors import LabError
from supalab.process.tuning import loop_factory, raise_file_limit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from threading import Event

HOST = "127.0.0.1"
HEAD_LIMIT = 64 * 1024
"""Bytes of a request line with its headers; what common servers take."""
HEAD_S = 30.0
"""Seconds in which a request line with its headers must be complete, from the first byte or the connection's start."""
#: Seconds in which a refused client's bytes are still read and dropped: closing immediately could lose the response.
LINGER_S = 1.0
#: Seconds that an idle connection is kept open: longer than clients keep one, and than the 60 of common load balancers,
#: so that the server never closes a connection on which a request was just sent.
KEEP_ALIVE_S = 75
#: Seconds that requests in flight have at the end, unless a server says otherwise.
GRACE_S = 2
PIECE = 16 * 1024
REFUSALS = {
    408: (b"Request Timeout", b"the request line and headers took longer than %d seconds: send them at once" % HEAD_S),
    414: (b"URI Too Long", b"the request line is longer than %d bytes: shorten the query" % HEAD_LIMIT),
    431: (b"Request Header Fields Too Large", b"the headers are longer than %d bytes: shorten them" % HEAD_LIMIT),
}


class HttpProtocol(HttpToolsProtocol):
    """HTTP/1.1 with a limited request head; above the limit the client gets 408, 414 or 431 and is disconnected."""

    #: Bytes so far of the head that is being received, None between two heads.
    _head: int | None = None
    _timer: asyncio.TimerHandle | None = None
    _refused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve; the first request must come in time."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._limit_time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Remove the time limit with the connection."""
        self._end_head()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes in pieces, which end where a head would be too large."""
        while data and not (self._refused or self.transport.is_closing()):
            size = min(PIECE, HEAD_LIMIT + 1 - (self._head or 0))
            piece, data = data[:size], data[size:]
            super().data_received(piece)
            if self._head is not None:
                self._limit_time()
                self._head += len(piece)
                if self._head > HEAD_LIMIT:
                    self._refuse(414 if len(self.url) > HEAD_LIMIT // 2 else 431)

    def on_message_begin(self) -> None:
        """Start the limits of a request's head, and tell the application its arrival (``time.perf_counter``)."""
        self._head = 0
        super().on_message_begin()
        scope: Any = self.scope
        scope["arrived"] = perf_counter()

    def on_headers_complete(self) -> None:
        """Remove the limits: the body may take as long as the application allows."""
        self._end_head()
        super().on_headers_complete()

    def _limit_time(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HEAD_S, self._refuse, 408)

    def _end_head(self) -> None:
        self._head = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        self._end_head()
        self._refused = True
        transport: Any = self.transport
        if self.cycle is not None and not self.cycle.response_complete:
            transport.close()  # the client would read the refusal as the response to its previous request
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
    """uvicorn's server on one listening socket: calls ``ready`` when it is ready, and stops when ``ending`` is set.

    ``grace``: seconds that requests in flight have at the end.
    """

    def __init__(
        self,
        app: Any,
        listener: socket.socket,
        ending: Event,
        ready: Callable[[], None] = lambda: None,
        *,
        grace: int = GRACE_S,
        lifespan: Literal["on", "off"] = "off",
    ) -> None:
        config = uvicorn.Config(
            app,
            http=HttpProtocol,
            ws="none",
            lifespan=lifespan,
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=grace,
        )
        super().__init__(config)
        self.listener, self._ending, self._ready = listener, ending, ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start to listen, then call ``ready``."""
        await super().startup(sockets)
        self._ready()

    def new_protocol(self) -> HttpProtocol:
        """Return the protocol for one more connection."""
        return HttpProtocol(config=self.config, server_state=self.server_state, app_state=self.lifespan.state)

    async def on_tick(self, counter: int) -> bool:
        """Check ten times a second whether to stop."""
        self.should_exit = self.should_exit or self._ending.is_set()
        return await super().on_tick(counter)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Install no signal handlers: uvicorn would raise signals again at the end, but a clean exit needs code 0."""
        yield


def serve(*servers: ManagedServer) -> None:
    """Serve on the event loop of a new runner until all servers have stopped."""

    async def serve_all() -> None:
        await asyncio.gather(*(server.serve(sockets=[server.listener]) for server in servers))

    raise_file_limit()
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(serve_all())


def listen(port: int, host: str = HOST) -> socket.socket:
    """Return a socket bound to ``host``, an address, and ``port``; raises LabError when the port is taken or forbidden.

    It names TCP and turns Nagle's algorithm off: without that, each request on a reused connection takes about 44 ms
    more (github.com/Kludex/uvicorn issue 3149).
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
        return f"port {port} is in use: stop the program that listens there, or give port 0 for any free port"
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        return f"host {host!r} is not an address of this machine ({error.strerror}): give {HOST}, or 0.0.0.0 for all"
    return f"port {port} cannot be used ({error.strerror}): give port 0 for any free port"
