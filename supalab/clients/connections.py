"""One connection of a pool: an asyncio protocol that writes a request, feeds what arrives to an ``Answer``, and is
closed as soon as anything comes that nobody asked for.
"""

from __future__ import annotations

import asyncio
import select
import ssl
from collections.abc import Callable

import httpx

from supalab.clients.http1 import Answer

__all__ = ["Connection"]


class Connection(asyncio.Protocol):
    """One connection, for one request at a time; it stands in the set ``among`` as long as it is open."""

    transport: asyncio.Transport

    def __init__(self, among: set[Connection]) -> None:
        self._among = among
        self._answer: Answer | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._error: Exception | None = None
        self._sending = False
        self.idle_since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """From asyncio: connected, and the TLS handshake is done."""
        self.transport = transport  # type: ignore[assignment]
        self.transport.set_write_buffer_limits(0)  # so that pause_writing tells of every byte that is not yet sent
        self._among.add(self)

    async def exchange(
        self, request: httpx.Request, encoded: Callable[[httpx.Request], bytes], max_bytes: int
    ) -> Answer:
        """Send a request and return its answer; whatever else happens, the connection is closed.

        No variable here holds what is sent: the frames of a traceback would show the key in it.
        """
        answer = self._answer = Answer(request.method, max_bytes)
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            if self.transport.is_closing():
                raise httpx.ConnectError("the server closed the connection before anything was sent")
            self.transport.write(encoded(request))
            await self._waiter
            if self._error is not None:
                raise self._error
        except BaseException:
            self.transport.abort()
            raise
        finally:
            self._waiter = self._answer = None
        if not answer.reusable or self._sending:
            self.transport.abort()
        return answer

    def usable(self) -> bool:
        """Whether the connection still stands and nothing has come on it unasked, not even just now."""
        return not self.transport.is_closing() and not _readable(self.transport.get_extra_info("socket").fileno())

    def data_received(self, data: bytes) -> None:
        """From asyncio: bytes."""
        if self._answer is None or self._answer.done:
            self.transport.abort()  # unasked, so it must not become the answer to the next request
            return
        self._answer.feed(data)
        self._look()

    def eof_received(self) -> None:
        """From asyncio: the other side sends no more."""
        if self._answer is not None:
            self._answer.end(in_order=self._said_so())
            self._look()

    def connection_lost(self, exc: Exception | None) -> None:
        """From asyncio: the connection has ended, in whatever way."""
        self._among.discard(self)
        if self._answer is not None and not self._answer.done and self._answer.error is None:
            kind = httpx.WriteError if self._sending else httpx.ReadError
            self._fail(kind(str(exc or "the connection was closed")))

    def pause_writing(self) -> None:
        """From asyncio: a part of the request waits to be sent."""
        self._sending = True

    def resume_writing(self) -> None:
        """From asyncio: all of it has been sent."""
        self._sending = False

    def _said_so(self) -> bool:
        """Whether an end was meant: TLS has a word for it, without which anybody on the way may have cut it off."""
        secure = self.transport.get_extra_info("ssl_object")
        try:
            return secure is None or secure.read(1) == b""
        except ssl.SSLError:  # it still waits for more
            return False

    def _look(self) -> None:
        if self._answer is None:
            return
        if self._answer.error is not None:
            self._fail(self._answer.error)
        elif self._answer.done and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        self._error = error
        self.transport.abort()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _readable(descriptor: int) -> bool:
    """Whether bytes or an end wait at a socket that the event loop has not looked at yet."""
    if not hasattr(select, "poll"):  # Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))
