"""The lab's ASGI application: a request flows in, waits as the conditions say, and leaves with the dialect's answer.

There is no routing layer: one would cost the lab its precision at a thousand requests in flight.
"""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any

from supalab.lab import gateway
from supalab.lab.ahead import Ahead
from supalab.lab.messages import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping
    from typing import Protocol

    from supalab.lab.conditions import LiveConditions
    from supalab.lab.witness import Tally

    Receive = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]

    class Answering(Protocol):
        """Anything that turns a request into an answer."""

        def answer(self, request: Request) -> Answer:
            """Answer one request."""


__all__ = ["BODY_LIMIT", "LabApp", "read_body", "send_answer"]

# An answer as ASGI's two messages.
Messages = tuple[dict[str, Any], dict[str, Any]]

BODY_LIMIT = 1024 * 1024

log = logging.getLogger("supalab.lab")


class CallerLeft(Exception):
    """The caller left before the request was whole."""


class BodyTooLarge(Exception):
    """The body is above the limit."""


class LabApp:
    """The application on the lab's public port; everything it needs is handed in."""

    def __init__(
        self, rest: Answering, live: LiveConditions, tally: Tally, gate: gateway.Gate, *, max_in_flight: int
    ) -> None:
        self._rest = rest
        self._ahead = Ahead(self._work)
        self._live = live
        self._tally = tally
        self._gate = gate
        self._max_in_flight = max_in_flight

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Take one request from accepted headers to its answer, in the witness's sight."""
        headers = gateway.headers_of(scope["headers"])
        if not self._gate.knows_host(headers):
            return await send_answer(send, gateway.WRONG_HOST)
        tally = self._tally
        if tally.current >= self._max_in_flight:
            tally.refused += 1
            return await send_answer(send, gateway.too_busy(self._max_in_flight))
        tally.enter()
        try:
            for message in await self._answer(scope, headers, receive):
                await send(message)
            tally.served += 1
        except CallerLeft:
            pass
        except asyncio.CancelledError:
            # Only the server's end cancels requests; nothing above this frame waits for the cancellation.
            await send_answer(send, gateway.stopping())
        except Exception:
            log.exception("a request failed")
            await send_answer(send, gateway.internal_error())
        finally:
            tally.leave()
        return None

    async def _answer(self, scope: dict[str, Any], headers: dict[str, str], receive: Receive) -> Messages:
        arrived = perf_counter()
        path: bytes = scope["raw_path"]
        rest = path[len(gateway.BASE) :] or b"/"
        if not path.startswith(gateway.BASE) or not rest.startswith(b"/"):
            return _messages(gateway.NO_ROUTE)
        query = scope["query_string"].decode("latin-1")
        refusal = self._gate.refusal(headers, query)
        if refusal is not None:
            return _messages(refusal)
        try:
            body = await read_body(receive, headers, BODY_LIMIT)
        except BodyTooLarge:
            return _messages(gateway.too_large(BODY_LIMIT))
        for secret in ("apikey", "authorization"):
            headers.pop(secret, None)
        request = Request(scope["method"], rest.decode("latin-1"), gateway.without_key(query), headers, body)
        return await self._serve(request, arrived, receive)

    async def _serve(self, request: Request, arrived: float, receive: Receive) -> Messages:
        """Work and wait at the same time; a caller who leaves meanwhile changes nothing but the counts."""
        until = arrived + self._live.delay()
        if self._live.fails():
            self._tally.errors += 1
            await _sleep_until(until)
            messages = _messages(gateway.spoiled(), request.method)
        elif until > arrived:
            job = self._ahead.put(request)
            await _sleep_until(until)
            messages = self._ahead.result(job)
        else:
            messages = self._work(request)
        if has_left(receive):
            self._tally.abandoned += 1
        return messages

    def _work(self, request: Request) -> Messages:
        return _messages(self._rest.answer(request), request.method)


async def _sleep_until(until: float) -> None:
    wait = until - perf_counter()
    if wait > 0:
        await asyncio.sleep(wait)


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the whole body; raises BodyTooLarge by its announced and by its real length, CallerLeft when cut short."""
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise BodyTooLarge
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def has_left(receive: Receive) -> bool:
    """Return whether the caller has hung up, without waiting: ``receive`` is taken as far as it goes by itself.

    Nothing is lost by dropping it there, for after a whole body all that may still come is the news of the end.
    A task or a timeout around it would cost more than all the rest of the request.
    """
    step = receive()
    try:
        step.send(None)
    except StopIteration as done:
        return bool(done.value["type"] == "http.disconnect")
    step.close()
    return False


def _messages(answer: Answer, method: str = "GET") -> Messages:
    """Return ``answer`` to a request by ``method`` as ASGI's messages, with its length where a body has none given."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    bodiless = answer.status in {204, 304} or method == "HEAD"
    if not bodiless and not any(name.lower() == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(answer.body)))
    return (
        {"type": "http.response.start", "status": answer.status, "headers": headers},
        {"type": "http.response.body", "body": b"" if bodiless else answer.body},
    )


async def send_answer(send: Send, answer: Answer) -> None:
    """Send ``answer``."""
    for message in _messages(answer):
        await send(message)
