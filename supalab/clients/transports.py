"""The transports that clients send requests over: our pool of connections on asyncio, and httpx's own.

A connection pool is a stack of open, idle connections. A request takes the top connection, or opens a new one if the
stack is empty, and puts it back when the response is complete. The top connection was used last, so under light load
the connections at the bottom become old and are closed. The pool does nothing else: the client's semaphore decides who
waits and how many connections may be open.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from functools import lru_cache
from typing import Any, TypeAlias

import httpx

from supalab.clients.http1 import FIRST_LINE, ReadyRequest, ResponseParser, head_of
from supalab.errors import SettingsError
from supalab.settings import Settings
from supalab.wire import Call, no_op

#: Makes the transport of a client; called on the client's event loop, at its first request.
Transport: TypeAlias = Callable[[Settings], httpx.AsyncBaseTransport]

#: Seconds an idle connection is kept; common servers and gateways close it after 60 to 75 s.
KEEP_ALIVE = 30.0
MAX_BYTES = 32 * 1024 * 1024
#: Seconds after which a second address of a name (IPv6, IPv4) is tried in parallel.
NEXT_ADDRESS_AFTER = 0.25
#: Bytes that are read from a socket in one call.
READ_AT_ONCE = 256 * 1024
#: Turns that an event loop needs to read what has arrived on a new connection.
READS = 3


class PooledTransport(httpx.AsyncBaseTransport):
    """Connections to one server, kept for the next request; HTTP/1.1 without proxies, cookies, redirects or retries.

    It has no limit: it opens a connection for each request at once. A response is read completely, up to ``max_bytes``
    (``extensions["max_bytes"]`` for one request). Of httpx's timeouts it uses ``connect``, and ``read`` for the whole
    response; the ``trace`` extension reports when it connects and when it sends.

    Raises httpx's errors: ConnectError and ConnectTimeout (the name look-up and the TLS handshake belong to that),
    WriteError, ReadError, ReadTimeout, RemoteProtocolError, LocalProtocolError; ResponseTooLarge.
    """

    def __init__(self, url: str, context: ssl.SSLContext | None = None, *, keep_alive: float = KEEP_ALIVE) -> None:
        address = httpx.URL(url)
        secure = address.scheme == "https"
        # In ASCII: httpx cannot write every xn-- name in letters.
        self._origin = address.scheme, address.raw_host.decode(), address.port or (443 if secure else 80)
        self._context = (context or _usual_context()) if secure else None
        self._keep_alive = keep_alive
        self._idle: list[Connection] = []
        self._open: set[Connection] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._closed = False
        self._buffer = memoryview(bytearray(READ_AT_ONCE))
        self._head = lru_cache(64)(head_of)  # its own copy, so that the key in it is freed with it

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request and return its response; called by httpx."""
        if not isinstance(request, ReadyRequest):
            await self._check(request)
        trace, timeout = request.extensions.get("trace"), request.extensions.get("timeout") or {}
        patience = timeout.get("read")
        connection = self._taken() or await self._connected(trace, timeout.get("connect"))
        try:
            if trace:
                await trace("http11.send_request_headers.started", {})
            async with nullcontext() if patience is None else asyncio.timeout(patience):
                response = await connection.exchange(request, self._encoded)
        except BaseException as error:
            connection.transport.abort()
            if isinstance(error, TimeoutError):
                raise httpx.ReadTimeout(f"no complete response within {patience} s") from error
            raise
        self._give_back(connection)
        stream, said = httpx.ByteStream(bytes(response.body)), {"http_version": b"HTTP/1.1"}
        return httpx.Response(response.status, headers=response.headers, stream=stream, extensions=said)

    async def _check(self, request: httpx.Request) -> None:
        """Read the body of a request that other code made; raises for what cannot be sent, before anything is sent."""
        url = request.url
        if (url.scheme, url.raw_host.decode(), url.port or self._origin[2]) != self._origin:
            own, other = "{}://{}:{}".format(*self._origin), f"{url.scheme}://{url.netloc.decode()}"
            raise httpx.UnsupportedProtocol(f"this transport goes to {own} alone, not to {other}")
        await request.aread()
        self._encoded(request)

    def _encoded(self, request: httpx.Request) -> bytes:
        """Return a request as bytes; raises LocalProtocolError for a part that is not valid in HTTP."""
        target = request.target.encode() if isinstance(request, ReadyRequest) else request.url.raw_path
        first = b"%b %b HTTP/1.1\r\n" % (request.method.encode(), target)
        head = self._head(tuple(request.headers.raw), len(request.content))
        if head is None or not FIRST_LINE.fullmatch(first):
            raise httpx.LocalProtocolError("a method, an address or a header that is not valid in HTTP")
        return first + head + request.content

    def _taken(self) -> Connection | None:
        """Take the connection that was used last, if it can be used again."""
        now = asyncio.get_running_loop().time()
        while self._idle:
            connection = self._idle.pop()
            if connection.usable() and now - connection.idle_since < self._keep_alive:
                return connection
            connection.transport.abort()
        return None

    def _give_back(self, connection: Connection) -> None:
        if connection.transport.is_closing():
            return
        loop = asyncio.get_running_loop()
        connection.idle_since = loop.time()
        self._idle.append(connection)
        if self._expiry is None:
            self._expiry = loop.call_later(self._keep_alive, self._expire)

    def _expire(self) -> None:
        """Close the connections that have been idle for too long; they are at the bottom of the stack."""
        loop = asyncio.get_running_loop()
        while self._idle and loop.time() - self._idle[0].idle_since >= self._keep_alive:
            self._idle.pop(0).transport.abort()
        self._expiry = loop.call_later(self._keep_alive, self._expire) if self._idle else None

    async def _connected(self, trace: Callable[..., Awaitable[None]] | None, patience: float | None) -> Connection:
        """Open a connection: look up the name, connect, do the TLS handshake. Nothing of a request is sent."""
        _, host, port = self._origin
        if trace:
            await trace("connection.connect_tcp.started", {"host": host, "port": port})
        loop = asyncio.get_running_loop()
        # uvloop does not support happy eyeballs, and a numeric address has no second one to try.
        named = isinstance(loop, asyncio.BaseEventLoop) and not (":" in host or host.replace(".", "").isdigit())
        how: dict[str, Any] = {"happy_eyeballs_delay": NEXT_ADDRESS_AFTER} if named else {}
        try:
            async with asyncio.timeout(patience):
                _, connection = await loop.create_connection(
                    lambda: Connection(self._open, self._buffer), host, port, ssl=self._context, **how
                )
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error) or f"no connection to {host} in time") from error
        except OSError as error:
            raise httpx.ConnectError(str(error) or type(error).__name__) from error
        if self._closed:
            connection.transport.abort()
            raise httpx.ConnectError("the transport was closed meanwhile")
        try:
            for _ in range(READS):  # the loop reads what came before a request, and closes
                if connection.usable():
                    break
                await asyncio.sleep(0)
        except asyncio.CancelledError:
            connection.transport.abort()
            raise
        return connection

    async def aclose(self) -> None:
        """Close all connections, also those of running requests."""
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        for connection in tuple(self._open):
            connection.transport.abort()
        for _ in range(100):  # asyncio closes the sockets in its next turns
            if not self._open:
                break
            await asyncio.sleep(0)


class Connection(asyncio.BufferedProtocol):
    """One connection, for one request at a time; it is in the set ``among`` while it is open.

    It is closed as soon as unexpected bytes arrive. Arriving bytes are read into ``buffer`` and parsed immediately, so
    all connections of an event loop can share it.
    """

    transport: asyncio.Transport
    _settled: asyncio.Future[None]

    def __init__(self, among: set[Connection], buffer: memoryview) -> None:
        self._among, self._buffer = among, buffer
        self._response: ResponseParser | None = None
        self._sending = False
        self.idle_since = 0.0

    async def exchange(self, request: httpx.Request, encoded: Callable[[httpx.Request], bytes]) -> ResponseParser:
        """Send a request and return its response; after an error the connection must be closed.

        No variable here holds what is sent: the frames of a traceback would show the key in it.
        """
        if self.transport.is_closing():
            raise httpx.ConnectError("the server closed the connection, or sent something, before the request")
        response = self._response = ResponseParser(request.method, request.extensions.get("max_bytes", MAX_BYTES))
        self._settled = asyncio.get_running_loop().create_future()
        try:
            self.transport.write(encoded(request))
            await self._settled
        finally:
            self._response = None
        if response.error is not None:
            raise response.error
        if not response.reusable or self._sending:
            self.transport.abort()
        return response

    def usable(self) -> bool:
        """Return whether the connection is open and no unexpected bytes have arrived, not even at this moment."""
        return not self.transport.is_closing() and not _readable(self.transport.get_extra_info("socket").fileno())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio: the connection is open, and the TLS handshake is done."""
        self.transport = transport  # type: ignore[assignment]
        # So that pause_writing is called while bytes wait to be sent. With 0, asyncio's TLS also calls it for none.
        self.transport.set_write_buffer_limits(1)
        self._among.add(self)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Called by asyncio: return where to write the next bytes."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Called by asyncio: parse the bytes that have arrived."""
        if self._response is None or self._response.done:
            self.transport.abort()  # without a request, so it must not become the response to the next one
        else:
            self._response.feed(self._buffer[:nbytes])
            self._settle(self._response)

    def eof_received(self) -> None:
        """Called by asyncio: the other side sends no more."""
        if self._response is not None:
            self._response.end(in_order=self._said_so())
            self._settle(self._response)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncio: the connection has ended, for whatever reason."""
        self._among.discard(self)
        if self._response is not None:
            kind = httpx.WriteError if self._sending else httpx.ReadError
            self._response.fail(kind(str(exc or "the connection was closed")))
            self._settle(self._response)

    def pause_writing(self) -> None:
        """Called by asyncio: a part of the request waits to be sent."""
        self._sending = True

    def resume_writing(self) -> None:
        """Called by asyncio: the whole request has been sent."""
        self._sending = False

    def _said_so(self) -> bool:
        """Return whether the other side ended the connection on purpose; over TLS, its last message must say so."""
        secure = self.transport.get_extra_info("ssl_object")
        try:
            return secure is None or secure.read(1) == b""
        except ssl.SSLError:  # it still waits for more
            return False

    def _settle(self, response: ResponseParser) -> None:
        """Wake the request that waits, if its response is complete or has failed."""
        if (response.done or response.error is not None) and not self._settled.done():
            self._settled.set_result(None)


def _readable(descriptor: int) -> bool:
    """Return whether a socket holds bytes or an end of file that the event loop has not read yet."""
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


def tls(settings: Settings) -> ssl.SSLContext | bool:
    """Return what verifies certificates: the settings' own authorities, or True for httpx's default.

    Raises SettingsError for a file without certificates.
    """
    if settings.ca_file is None:
        return True
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except OSError as error:
        raise SettingsError(f"ca_file {settings.ca_file!r} cannot be read as PEM certificates: {error}") from error


@lru_cache(1)
def _usual_context() -> ssl.SSLContext:
    return httpx.create_ssl_context(trust_env=False)


def pooled_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """Create the default transport; also for your own client: ``httpx.AsyncClient(transport=…)``."""
    if not settings.url.startswith("https"):  # loading certificates is most of the cost of creating a client
        return PooledTransport(settings.url)
    given = tls(settings)
    context = given if isinstance(given, ssl.SSLContext) else _usual_context()
    # A response that ends with its connection is complete only after a TLS close; Python does not check by default.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return PooledTransport(settings.url, context)


def httpx_options(settings: Settings, library: Any = httpx, *, keep: int | None = None) -> dict[str, Any]:
    """Return the options of httpx's own pool for a project: ``keep`` connections stay open, by default all."""
    most = settings.limit
    limits = library.Limits(max_connections=most, max_keepalive_connections=most if keep is None else keep)
    return {"limits": limits, "timeout": settings.timeout, "verify": tls(settings), "trust_env": False}


def httpx_transport(settings: Settings) -> httpx.AsyncBaseTransport:
    """Create httpx's own transport with all connections kept alive, for comparisons.

    A request that is cancelled at an unlucky moment can permanently cost this pool a connection, even behind the
    semaphore (httpcore 1.0.9, seen after some hundred cancellations). At DEBUG, httpcore logs the headers that a server
    sends, which may repeat the key. The default transport has neither of these faults.
    """
    options = httpx_options(settings)
    del options["timeout"]
    return httpx.AsyncHTTPTransport(**options)


def watched(call: Call) -> dict[str, Any]:
    """Return the httpx extension that reports when a request gets a connection; empty if nothing is timed."""

    async def trace(event: str, info: dict[str, Any]) -> None:
        call.started()  # called at every step from connecting on; the watcher keeps the first

    return {} if call.started is no_op else {"trace": trace}
