"""ASGI middleware that limits each request, logs and counts it, and handles errors that nothing else handled.

A request ends at the service's deadline, or if its body is too large. Frameworks continue a request after its client
has disconnected; here a read is cancelled. A client that can stop then does so; a client that cannot (fake async) keeps
its slot and its backend busy with wasted work. A write that has begun is finished.
"""

from __future__ import annotations

import asyncio
import logging
from time import perf_counter

from asgi_correlation_id import correlation_id
from prometheus_client import Counter, Gauge, Histogram
from starlette.datastructures import MutableHeaders, State
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from supalab.contest_agent.problems import LATE, problem, problem_of

log = logging.getLogger("supalab.contest_agent")

MAX_BODY = 64 * 1024
READS = frozenset({"GET", "HEAD"})
CLOSE = {"Connection": "close"}
TOO_LONG = HTTPException(413, f"a body may have {MAX_BODY} bytes", CLOSE)
SLOW_UPLOAD = HTTPException(408, "the request's body did not come in time: send it at once", CLOSE)
#: Not in the HTTP standard but widely used: the client closed the request; the process ended before the request did.
CLIENT_DISCONNECTED, CUT_SHORT = 499, 503
UNSEEN = frozenset({"/metrics"})  # reading the counts should not change them
METHODS = frozenset({*READS, "POST", "PATCH", "PUT", "DELETE", "OPTIONS"})
#: Upper bounds in seconds, around the article's 0.15 and 0.45 and the service's own deadline.
BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.9, 1.5, 3.0, 6.0, 10.0)
LABELS = ("client", "method", "route")


class Journal:
    """Middleware: a response within ``seconds``, 504 or 408 at the latest; a log line and counts for each request.

    ``state``: the application's, with its options, its metrics' ``registry`` and whether it is ``leaving``.
    """

    def __init__(self, app: ASGIApp, seconds: float, state: State) -> None:
        self._app, self._seconds, self._state = app, seconds, state
        ended, took = "Requests that have ended; 499: the client disconnected.", "From a request's head to its end."
        here = {"registry": state.registry}
        self._requests = Counter("contest_agent_requests", ended, (*LABELS, "status"), **here)
        self._seconds_of = Histogram("contest_agent_request_seconds", took, LABELS, buckets=BUCKETS, **here)
        gauge = Gauge("contest_agent_requests_in_progress", "Requests in progress.", LABELS[:1], **here)
        self._in_progress = gauge.labels(state.options.client)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on within its limits, and record it."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        began, one, cause = perf_counter(), _Request(receive, send, self._state), ""
        counts = scope["path"] not in UNSEEN
        self._in_progress.inc(counts)
        try:
            await self._bounded(scope, one)
        except Exception as error:
            if one.disconnected:
                one.status = CLIENT_DISCONNECTED
                return None
            cause = type(error.__cause__ if isinstance(error, HTTPException) else error).__name__
            if problem_of(error) is None:
                log.exception("a bug", extra={"request_id": correlation_id.get()})
            if one.answering:
                raise  # half a response cannot be repaired: the server closes the connection
            await problem(error)(scope, receive, one.send)
        finally:
            self._in_progress.dec(counts)
            if counts:
                self._write(scope, one.status, perf_counter() - began, cause)
        return None

    async def _bounded(self, scope: Scope, one: _Request) -> None:
        read = scope["method"] in READS
        try:
            async with asyncio.timeout(self._seconds) as bound:
                watching = asyncio.create_task(one.watch(bound)) if read else None
                try:
                    await self._app(scope, one.no_body if read else one.limited, one.send)
                finally:
                    if watching is not None:
                        watching.cancel()
        except TimeoutError as error:
            if one.disconnected or one.answering or not bound.expired():
                raise
            raise (SLOW_UPLOAD if one.uploading else LATE) from error

    def _write(self, scope: Scope, status: int, seconds: float, cause: str) -> None:
        # The route's template, so that there is one series for each route.
        method, route = scope["method"], getattr(scope.get("route"), "path_format", "(none)")
        labels = (self._state.options.client, method if method in METHODS else "other", route)
        self._requests.labels(*labels, str(status)).inc()
        self._seconds_of.labels(*labels).observe(seconds)
        entry = {"request_id": correlation_id.get(), "method": method, "path": scope["path"], "route": route}
        entry |= {"status": status, "ms": round(seconds * 1000, 1), **({"error": cause} if cause else {})}
        log.log(logging.ERROR if status == 500 else logging.INFO, "request", extra=entry)


class _Request:
    """One request in progress."""

    def __init__(self, receive: Receive, send: Send, state: State) -> None:
        self._receive, self._send, self._state = receive, send, state
        self._size = 0
        self._asked = self._answered = False
        self.status = CUT_SHORT
        self.answering = self.disconnected = self.uploading = False

    async def send(self, message: Message) -> None:
        """Pass a part of the response on."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            if self._state.leaving:
                MutableHeaders(scope=message).update(CLOSE)
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
        """Return the empty body of a read; a second call waits for the client to disconnect, as ``watch`` does."""
        if self._asked:
            await asyncio.Event().wait()
        self._asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def limited(self) -> Message:
        """Return the next part of a body, unless all parts together are too long."""
        self.uploading = True
        message = await self._receive()
        self.uploading = message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._size > MAX_BODY:
            raise TOO_LONG
        return message
