"""Write HTTP/1.1 requests as bytes and parse responses from bytes, without any I/O."""

from __future__ import annotations

import re
from typing import Any

import httptools
import httpx

from supalab.clients.responses import too_large

TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
FIRST_LINE = re.compile(TOKEN.pattern + rb" [\x21-\x7e]+ HTTP/1\.1\r\n")
#: Bytes of a response that are not its body: headers (PostgREST repeats a query of 60 KB in Content-Location), interim
#: responses, trailers; and for each byte of the body the frame that a chunk of one byte needs.
MOST_AROUND = 256 * 1024
MOST_PER_BYTE = 8
#: Interim (1xx) responses before the final one.
MOST_INTERIM = 20
LENGTH, CODING, CONNECTION = b"content-length", b"transfer-encoding", b"connection"


class ReadyRequest(httpx.Request):
    """An ``httpx.Request`` that is cheap to create: its headers are ready, and its URL is parsed only when used.

    ``target``: the path and query that are sent, without ``origin`` (``https://host``).
    """

    def __init__(
        self, method: str, origin: str, target: str, headers: httpx.Headers, body: bytes, extensions: dict[str, Any]
    ) -> None:
        self.method, self.origin, self.target = method, origin, target
        self.headers, self.extensions = headers, extensions
        self._content = body
        self.stream = httpx.ByteStream(body)

    @property
    def url(self) -> httpx.URL:  # type: ignore[override]  # httpx has an attribute there
        """The address, parsed now."""
        return httpx.URL(self.origin + self.target)


def head_of(headers: tuple[tuple[bytes, bytes], ...], size: int) -> bytes | None:
    """Write the headers of a request with a body of ``size`` bytes; returns None if one is not valid in HTTP."""
    length = b"%d" % size
    framing = [(name.lower(), value) for name, value in headers if name.lower() in {LENGTH, CODING}]
    if not all(TOKEN.fullmatch(name) and VALUE.fullmatch(value) for name, value in headers):
        return None
    if any(name == LENGTH and value != length for name, value in framing):
        return None
    # The body is whole, so its length is known, and no transfer encoding is needed.
    lines = [b"%b: %b\r\n" % header for header in headers if header[0].lower() not in {LENGTH, CODING}]
    lines += [b"Content-Length: %b\r\n" % length] * bool(size or framing)
    return b"".join(lines) + b"\r\n"


class ResponseParser:
    """Parses the response to one request, piece by piece; ``error`` is set when it is invalid or too large.

    ``done``: the response is complete. ``reusable``: the connection may carry another request, because the response
    ended exactly at the last received byte (by its length or its last chunk) and the server did not ask to close.
    """

    def __init__(self, method: str, max_bytes: int) -> None:
        self.status = 0
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.error: Exception | None = None
        self.done = self.reusable = self._until_close = self._head_is_read = False
        self._arrived = self._interim = 0
        self._method, self._max_bytes = method, max_bytes
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes | memoryview) -> None:
        """Take the next bytes of the connection."""
        if self.done or (not self._arrived and data[:1] != b"H"):
            self._refuse("these bytes are not an HTTP response")
            return
        self._arrived += len(data)
        try:
            self._parser.feed_data(data[:-1])
            if self.done:  # a byte after the end of the response, which is not part of it
                self.reusable = False
            else:
                self._parser.feed_data(data[-1:])
        except httptools.HttpParserError as error:
            self._refuse(str(error))
        around = self._arrived - len(self.body)
        if around > MOST_AROUND + MOST_PER_BYTE * len(self.body) or self._interim > MOST_INTERIM:
            self._refuse("endless headers or interim responses")

    def end(self, *, in_order: bool = True) -> None:
        """Note that the connection has ended: a response without a length is complete now, any other is broken."""
        self.reusable = False
        if self._until_close and in_order and self.error is None:
            self.done = True
        self._refuse("the connection ended before the response did" if self._arrived else "closed without a response")

    def fail(self, error: Exception) -> None:
        """Accept no more bytes; a complete response stays complete, but its connection is not used again."""
        self.reusable = False
        if not self.done:
            self.error = self.error or error

    def _refuse(self, why: str) -> None:
        self.fail(httpx.RemoteProtocolError(why))

    # The parser calls these.

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header; a trailer is left out."""
        if not self._head_is_read:
            self.headers.append((name, value.strip()))
        elif name.lower() in {LENGTH, CODING, CONNECTION}:
            self._refuse("a trailer that would have decided how to read the response")

    def on_headers_complete(self) -> None:
        """Decide, at the end of the headers, where the body ends and whether the connection can be reused."""
        if self.done:
            return
        self.status, version = self._parser.get_status_code(), self._parser.get_http_version()
        length, coding, connection = map(self._said, (LENGTH, CODING, CONNECTION))
        if version not in {"1.0", "1.1"} or coding not in {b"", b"chunked"} or self.status < 100 or self.status == 101:
            self._refuse(f"HTTP/{version}, a status, protocol or transfer encoding that was not asked for")
        if self.status < 200:
            self._interim += 1
            self.headers = []
            return
        self._head_is_read = True
        asked_to_close = b"close" in [word.strip() for word in connection.split(b",")]
        self.reusable = version == "1.1" and not asked_to_close and self.error is None
        self.done = self._method == "HEAD" or self.status in {204, 304}
        self._until_close = not (self.done or coding or length)

    def _said(self, wanted: bytes) -> bytes:
        return b",".join(value.lower() for name, value in self.headers if name.lower() == wanted).strip(b", \t")

    def on_body(self, piece: bytes) -> None:
        """Keep a piece of the body unless the response is complete or has already failed."""
        if not self.done and self.error is None:
            self.body += piece
            if len(self.body) > self._max_bytes:
                self.fail(too_large(self._max_bytes))

    def on_message_complete(self) -> None:
        """Note the end of the final response or of an interim one."""
        self.done = self._head_is_read and self.error is None
