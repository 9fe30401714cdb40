"""The lab's ASGI application: handles each request and delays its response as the conditions say.

There is no routing layer, because it would make the lab imprecise at a thousand requests in flight.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, Any

from supalab.lab import gateway
from supalab.lab.postgrest.http import Answer, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from supalab.lab.conditions import LiveConditions
    from supalab.lab.postgrest.rest import Rest
    from supalab.lab.witness import Tally

    Receive = Callable[[], Coroutine[Any, Any, dict[str, Any]]]
    Send = Callable[[dict[str, Any]], Coroutine[Any, Any, None]]

Headers = tuple[tuple[str, str], ...]

BODY_LIMIT = 1024 * 1024
#: Seconds of work on answers without a break.
SLICE_S = 0.001

log = logging.getLogger("supalab.lab")


class CallerLeft(Exception):
    """The client disconnected before the request was complete."""


class BodyTooLarge(Exception):
    """The body is larger than the limit."""


@dataclass(slots=True)
class Job:
    """A request and, once it is there, its answer."""

    request: Request
    answer: Answer | None


class LabApp:
    """The application on the lab's public port; it gets all it needs as arguments."""

    def __init__(
        self, rest: Rest, live: LiveConditions, tally: Tally, gate: gateway.Gate, *, max_in_flight: int
    ) -> None:
        self._rest, self._live, self._tally, self._gate = rest, live, tally, gate
        self._max_in_flight = max_in_flight
        self._jobs: deque[Job] = deque()
        self._working = False

    async def __call__(self, scope: dict[str, Any], receive: Receive, send: Send) -> None:
        """Handle one request from its headers to its answer, counted by the witness."""
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
            # Requests are cancelled only when the server stops; nothing above this frame waits for the cancellation.
            await send_answer(send, gateway.STOPPING, cors)
        except Exception:
            log.exception("a request failed")
            await send_answer(send, gateway.INTERNAL_ERROR, cors)
        finally:
            tally.leave()
        return None

    async def _answer(self, scope: dict[str, Any], headers: dict[str, str], receive: Receive) -> Answer:
        # With many requests, the application runs some time after the bytes have arrived; that time is part of the
        # latency.
        arrived = scope.get("arrived") or perf_counter()
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
        """Compute the answer while the latency passes, in the order of arrival, so that a burst's work fits into it.

        If the client disconnects meanwhile, only the counts change.
        """
        wait = arrived + self._live.delay() - perf_counter()
        if self._live.fails():
            self._tally.errors += 1
            job = Job(request, gateway.SPOILED)
        else:
            job = Job(request, self._rest.kept(request))
        if job.answer is None:
            self._jobs.append(job)
        if wait > 0:
            if self._jobs and not self._working:
                self._working = True
                asyncio.get_running_loop().call_soon(self._work)
            await asyncio.sleep(wait)
        while job.answer is None:
            self._work_once()
        if has_left(receive):
            self._tally.abandoned += 1
        return job.answer

    def _work(self) -> None:
        """Make answers for a moment, then let the event loop accept requests and send the responses that are due."""
        until = perf_counter() + SLICE_S
        while self._jobs and perf_counter() < until:
            self._work_once()
        self._working = bool(self._jobs)
        if self._working:
            asyncio.get_running_loop().call_soon(self._work)

    def _work_once(self) -> None:
        job = self._jobs.popleft()
        job.answer = self._rest.answer(job.request)


async def read_body(receive: Receive, headers: Mapping[str, str], limit: int) -> bytes:
    """Return the whole body; raises BodyTooLarge for its announced or real length, CallerLeft if it is incomplete."""
    announced = headers.get("content-length", "")
    if announced.isdecimal() and int(announced) > limit:
        raise BodyTooLarge
    body, more = b"", True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallerLeft
        body += message.get("body", b"")
        if len(body) > limit:
            raise BodyTooLarge
        more = message.get("more_body", False)
    return body


def has_left(receive: Receive) -> bool:
    """Return whether the client has disconnected, without waiting: ``receive`` runs only up to its first wait.

    No message is lost: after a complete body only the disconnect message can follow. A task or a
    timeout for this would cost more than the rest of the request.
    """
    step = receive()
    try:
        step.send(None)
    except StopIteration as done:
        return bool(done.value["type"] == "http.disconnect")
    step.close()
    return False


async def send_answer(send: Send, answer: Answer, more: Headers = (), method: str = "GET") -> None:
    """Send ``answer`` to a request by ``method``, with ``more`` headers, and its length if a body has none."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in (*answer.headers, *more)]
    bodiless = answer.status in {204, 304} or method == "HEAD"
    if not bodiless and not any(name.lower() == b"content-length" for name, _ in headers):
        headers.append((b"content-length", b"%d" % len(answer.body)))
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if bodiless else answer.body})
