"""uvicorn's fast HTTP protocol with a bound on what a caller may send before the body, and on how long that may take.

Without it a request line or a header block is kept in memory however long it grows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

if TYPE_CHECKING:
    from asyncio import TimerHandle

__all__ = ["HEAD_LIMIT", "BoundedHttp"]

HEAD_LIMIT = 64 * 1024
"""Bytes of a request line with its headers; what common servers take."""
HEAD_S = 30.0
"""Seconds in which a request line with its headers must be complete, from the first byte or the connection's start."""
PIECE = 16 * 1024
#: How long a refused caller's bytes are still read, and dropped: hanging up at once could take the answer away.
LINGER_S = 1.0

REFUSALS = {
    408: (b"Request Timeout", b"the request line and headers took longer than %d seconds: send them at once" % HEAD_S),
    414: (b"URI Too Long", b"the request line is longer than %d bytes: shorten the query" % HEAD_LIMIT),
    431: (b"Request Header Fields Too Large", b"the headers are longer than %d bytes: shorten them" % HEAD_LIMIT),
}


class BoundedHttp(HttpToolsProtocol):
    """HTTP/1.1 with a bounded request head; a caller above the bound gets 408, 414 or 431 and is hung up on."""

    _in_head = _in_body = _refused = False
    _head = 0
    _timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to serve; the first request has to come in time."""
        super().connection_made(cast("asyncio.Transport", transport))
        self._timer = asyncio.get_running_loop().call_later(HEAD_S, self._refuse, 408)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the time limit with the connection."""
        self._complete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes in pieces while the head is not complete, so that its size is known early."""
        start = 0
        while start < len(data) and not self._refused and not self.transport.is_closing():
            piece = data[start:] if self._in_body else data[start : start + PIECE]
            start += len(piece)
            super().data_received(piece)
            if self._in_head:
                self._count(len(piece))

    def _count(self, size: int) -> None:
        self._head += size
        if self._head > HEAD_LIMIT:
            self._refuse(414 if len(self.url) > HEAD_LIMIT // 2 else 431)
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(HEAD_S, self._refuse, 408)

    def on_message_begin(self) -> None:
        """Begin to count a request's head."""
        self._in_head, self._head = True, 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Let the body be as long as the application takes it."""
        self._in_head, self._in_body = False, True
        self._complete()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        self._in_body = False
        super().on_message_complete()

    def _complete(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        self._complete()
        self._refused = True
        transport: Any = self.transport
        if self.cycle is not None and not self.cycle.response_complete:
            transport.close()  # the caller would take a refusal for the answer to the request before
        if transport.is_closing():
            return
        reason, words = REFUSALS[status]
        body = b'{"message":"%s"}' % words
        transport.write(
            b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%s"
            % (status, reason, len(body), body)
        )
        if transport.can_write_eof():
            transport.write_eof()
        asyncio.get_running_loop().call_later(LINGER_S, transport.close)
