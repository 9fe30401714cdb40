"""ASGI middleware that limits a request: by the service's deadline, by the client's disconnect, by the body's size.

Frameworks continue a request after its client has disconnected. Here a read is cancelled, so that a client which can
stop does; one that cannot (fake async) keeps its slot and its backend busy with wasted work. A write, once begun, is
finished.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from supalab.contest_agent.problems import LATE, problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["MAX_BODY", "Bounds", "ClientDisconnected"]

MAX_BODY = 64 * 1024
READS = frozenset({"GET", "HEAD"})
TOO_LONG = HTTPException(413, f"a body may have {MAX_BODY} bytes", {"Connection": "close"})
SLOW_UPLOAD = HTTPException(408, "the request's body did not come in time: send it at once", {"Connection": "close"})


class ClientDisconnected(Exception):
    """The client closed its connection before the response."""


class Bounds:
    """Middleware: a response within ``seconds``, 504 or 408 at the latest; raises ClientDisconnected instead."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, within its bounds."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        one = _Request(receive, send)
        read = scope["method"] in READS
        try:
            async with asyncio.timeout(self._seconds) as bound:
                watching = asyncio.create_task(one.watch(bound)) if read else None
                try:
                    await self._app(scope, one.no_body if read else one.limited, one.send)
                finally:
                    if watching is not None:
                        watching.cancel()
        except Exception as error:
            if one.disconnected:
                raise ClientDisconnected from error
            if one.answering or not bound.expired() or not isinstance(error, TimeoutError):
                raise
            await problem(SLOW_UPLOAD if one.uploading else LATE)(scope, receive, send)
        return None


class _Request:
    """One request in progress."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive, self._send = receive, send
        self._size = 0
        self._asked = self._answered = False
        self.answering = self.disconnected = self.uploading = False

    async def send(self, message: Message) -> None:
        """Pass a part of the response on."""
        self.answering = True
        self._answered = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def watch(self, bound: asyncio.Timeout) -> None:
        """End the request when its client disconnects."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._answered and not bound.expired():
            self.disconnected = True
            bound.reschedule(0.0)  # long ago

    async def no_body(self) -> Message:
        """Return the body of a read: none. Who asks again waits for the client to disconnect, as ``watch`` does."""
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def limited(self) -> Message:
        """Return the next part of a body, as long as all parts together are not too long."""
        self.uploading = True
        message = await self._receive()
        self.uploading = message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > MAX_BODY:
            raise TOO_LONG
        return message
