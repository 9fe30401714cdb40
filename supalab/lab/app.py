"""The lab's ASGI application: takes a request from its headers to its answer, as slowly as the conditions say.

There is no routing layer: one would cost the lab its precision at a thousand requests in flight.
"""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter
from typing import TYPE_CHECKING, Any

from supalab.lab import gateway
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

Headers = tuple[tuple[str, str], ...]

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
        self._one_at_a_time = asyncio.Lock()
        self._live = live
        self._tally = tally
        self._gate = gate
        self._max_in_flight = max_in_flight

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Take one request from accepted headers to its answer, in the witness's sight."""
        headers = gateway.headers_of(scope["headers"])
        cors = gateway.cors_headers(headers)
        refusal = self._gate.wrong_host(headers) or gateway.preflight(scope["method"], headers)
        if refusal is not None:
            return await send_answer(send, refusal, cors)
        tally = self._tally
        if tally.current >= self._max_in_flight:
            tally.refused += 1
            return await send_answer(send, gateway.too_busy(self._max_in_flight), cors)
        tally.enter()
        try:
            await send_answer(send, await self._answer(scope, headers, receive), cors, scope["method"])
            tally.served += 1
        except CallerLeft:
            pass
        except asyncio.CancelledError:
            # Only the server's end cancels requests; nothing above this frame waits for the cancellation.
            await send_answer(send, gateway.stopping(), cors)
        except Exception:
            log.exception("a request failed")
            await send_answer(send, gateway.internal_error(), cors)
        finally:
            tally.leave()
        return None

    async def _answer(self, scope: dict[str, Any], headers: dict[str, str], receive: Receive) -> Answer:
        arrived = perf_counter()
        path: bytes = scope["raw_path"]
        rest = path[len(gateway.BASE) :] or b"/"
        if not path.startswith(gateway.BASE) or not rest.startswith(b"/"):
            return gateway.NO_ROUTE
        query = scope["query_string"].decode("latin-1")
        refusal = self._gate.refusal(headers, query)
        if refusal is not None:
            return refusal
        try:
            body = await read_body(receive, headers, BODY_LIMIT)
        except BodyTooLarge:
            return gateway.too_large(BODY_LIMIT)
        for secret in ("apikey", "authorization"):
            headers.pop(secret, None)
        request = Request(scope["method"], rest.decode("latin-1"), gateway.without_key(query), headers, body)
        return await self._serve(request, arrived, receive)

    async def _serve(self, request: Request, arrived: float, receive: Receive) -> Answer:
        """Work first and then let the rest of the latency pass, so that a crowd's work fits into its waiting time.

        A caller who leaves meanwhile changes nothing but the counts.
        """
        until = arrived + self._live.delay()
        if self._live.fails():
            self._tally.errors += 1
            answer = gateway.spoiled()
        elif until > arrived:
            # Between two pieces of work the event loop sees to arrivals and to those whose time is up.
            async with self._one_at_a_time:
                await asyncio.sleep(0)
                answer = self._rest.answer(request)
        else:
            answer = self._rest.answer(request)
        wait = until - perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        if has_left(receive):
            self._tally.abandoned += 1
        return answer


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


async def send_answer(send: Send, answer: Answer, more: Headers = (), method: str = "GET") -> None:
    """Send ``answer`` to a request by ``method``, with ``more`` headers and its length where a body has none given."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*answer.headers, *more)]
    bodiless = answer.status in {204, 304} or method == "HEAD"
    if not bodiless and not any(name.lower() == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if bodiless else answer.body})
