"""What bounds a request: the service's deadline, a caller who leaves, a body's size. ASGI flows through both ways.

Frameworks let a request run on when its caller has left. Here a read is cancelled, so that a client which can stop
does; one that cannot (fake async) keeps its slot and its backend busy for nobody. A write, once begun, is finished.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.exceptions import HTTPException

from supalab.contest_agent.problems import LATE, problem

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

__all__ = ["Bounds", "CallerLeft"]

MAX_BODY = 64 * 1024
READS = frozenset({"GET", "HEAD"})


class CallerLeft(Exception):
    """The caller hung up before the answer."""


class Bounds:
    """Middleware: an answer, even if it is a 504, within ``seconds``; raises CallerLeft when nobody waits for one."""

    def __init__(self, app: ASGIApp, seconds: float) -> None:
        self._app = app
        self._seconds = seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, within its bounds."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        one = _Request(receive, send)
        take = one.no_body if scope["method"] in READS else one.limited
        try:
            async with asyncio.timeout(self._seconds) as bound:
                watching = asyncio.create_task(one.watch(bound)) if scope["method"] in READS else None
                try:
                    await self._app(scope, take, one.answer)
                finally:
                    if watching is not None:
                        watching.cancel()
        except Exception as error:
            if one.left:
                raise CallerLeft from error
            if one.answering or not bound.expired() or not isinstance(error, TimeoutError):
                raise
            await problem(LATE, scope["state"]["request_id"])(scope, receive, send)
        return None


class _Request:
    """One request under way."""

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._taken = 0
        self._asked = False
        self.answering = self.left = self._answered = False

    async def answer(self, message: Message) -> None:
        """Pass a part of the answer on."""
        self.answering = True
        self._answered = message["type"] == "http.response.body" and not message.get("more_body", False)
        await self._send(message)

    async def watch(self, bound: asyncio.Timeout) -> None:
        """End the request when its caller leaves."""
        while (await self._receive())["type"] != "http.disconnect":
            pass
        if not self._answered and not bound.expired():
            self.left = True
            bound.reschedule(0.0)  # long ago

    async def no_body(self) -> Message:
        """What a read brings: no body. Who asks again waits for the caller to leave, as ``watch`` does."""
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def limited(self) -> Message:
        """Take the next part of a body, as long as all parts together are not too long."""
        message = await self._receive()
        self._taken += len(message.get("body", b""))
        if self._taken > MAX_BODY:
            raise HTTPException(413, f"a body may have {MAX_BODY} bytes")
        return message
