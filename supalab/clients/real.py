"""The client you would ship: real async, with what production needs around it.

It adds to the article's version: a semaphore in front of the pool, so that cancelled callers do not damage it;
keep-alive for all connections; one deadline for everything; retries, for reads only; a limit on the size of responses;
errors with one base class; and a connection pool that is opened at the first request and knows its event loop.
"""

from __future__ import annotations

import asyncio
import os
import threading
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any, Self, Unpack
from urllib.parse import urlsplit

import httpx

from supalab.clients import responses
from supalab.clients.base import Options
from supalab.clients.http1 import ReadyRequest
from supalab.clients.paging import LongTables
from supalab.clients.pool import Pool, open_pool
from supalab.clients.transports import MAX_BYTES, Transport, pooled_transport
from supalab.errors import ClientClosed, ClientError, ConnectionLost, SettingsError, shown
from supalab.replies import Reply
from supalab.settings import Settings, checked_number
from supalab.wire import Call

#: In the last seconds before the deadline no slot is taken: the outcome of a write that is sent then would be unknown.
MARGIN = 0.01
EVERY_REQUEST = {"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "supalab"}
CLOSED = "this client is closed: make a new one, best with 'async with SupabaseAsync(…) as db'"


@dataclass(slots=True)
class _Progress:
    """How far one request is, for the error message if time runs out."""

    phase: responses.Phase = "slot"

    async def trace(self, event: str, info: Mapping[str, Any]) -> None:
        """Note a transport's events (httpx's ``trace`` extension): connecting, then the first byte that is sent."""
        self.phase = "connect" if event.startswith("connection.") else "response"


class SupabaseAsync(LongTables):
    """A Supabase (or PostgREST) client: at most ``limit`` requests at once, each done or failed in ``timeout`` seconds.

    ``timeout`` covers the wait for a slot, retries and the whole body. ``max_bytes`` is the size of the largest
    response accepted. Nothing is opened before the first request, so you can create the client outside a running loop.
    It belongs to the loop of its first request; when that loop has ended, it opens a new pool on the next one.
    ``token`` is a signed-in user's JWT, sent in the key's place as ``Authorization``; ``schema`` is another database
    schema. ``transport`` creates its httpx transport (see ``supalab.clients.transports``); in tests: ``lambda _:
    httpx.MockTransport(handler)``.

    Reads are sent up to three times; writes once. Raises ApiError, BadResponse (ResponseTooLarge), DeadlineExceeded,
    ConnectionLost (OutcomeUnknown for a write that may have been applied) or ClientClosed.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        max_bytes: int = MAX_BYTES,
        transport: Transport | None = None,
        **options: Unpack[Options],
    ) -> None:
        super().__init__(url, key, **options)
        address = urlsplit(self._base)
        self._origin, self._path = f"{address.scheme}://{address.netloc}", address.path
        self._headers = {"Host": httpx.URL(self._base).netloc.decode()} | self._headers | EVERY_REQUEST
        self._ready: dict[tuple[tuple[str, str], ...], httpx.Headers] = {}
        self._margin = min(MARGIN, self._settings.timeout / 10)
        self._max_bytes = checked_number("max_bytes", max_bytes)
        self._transport = transport or pooled_transport
        self._open: Pool | None = None
        self._closed = self._entered = False
        self._making = threading.Lock()

    @classmethod
    def from_env(cls, **options: Unpack[Options]) -> Self:
        """Create a client from ``SUPABASE_URL`` and ``SUPABASE_KEY``; raises SettingsError without an address."""
        found = Settings.from_env()
        return cls(found.url, found.key, **options)

    async def _request(self, call: Call) -> Reply:
        here = self._on_this_loop()
        at = _Progress()
        deadline = asyncio.timeout(self._settings.timeout)
        here.under_way.add(deadline)
        try:
            async with deadline:
                return await self._reply(call, here, at, deadline.when() or 0.0)
        except (TimeoutError, ConnectionLost) as error:
            if self._closed:
                raise responses.closed_meanwhile(call, at.phase) from error
            if isinstance(error, ConnectionLost):
                raise
            raise responses.late(call, self._settings.timeout, at.phase) from error
        finally:
            here.under_way.discard(deadline)

    async def _reply(self, call: Call, here: Pool, at: _Progress, deadline: float) -> Reply:
        """Send a request and retry it where that is safe; no try begins after the deadline."""
        for attempt in count(1):
            at.phase = "slot"
            async with here.gate:
                if self._closed or here.loop.time() >= deadline - self._margin:
                    raise TimeoutError  # there was a slot only after the deadline
                at.phase = "response"
                call.started()
                outcome = await self._sent(call, here, at)
            if self._closed or not responses.worth_another(call.method, outcome, attempt):
                break
            seconds = responses.pause(attempt, outcome, here.chance)
            if here.loop.time() + seconds >= deadline:
                break
            at.phase = "pause"
            await asyncio.sleep(seconds)
        if isinstance(outcome, ConnectionLost):
            raise outcome
        return outcome

    async def _sent(self, call: Call, here: Pool, at: _Progress) -> Reply | ConnectionLost:
        """Send once; a lost connection is returned like any other outcome, because a read may be retried."""
        response = None
        try:
            response = await here.transport.handle_async_request(self._made(call, at))
            body = await responses.read_body(response, self._max_bytes)
            return Reply(response.status_code, response.headers, body)
        except (httpx.RequestError, OSError) as error:
            return responses.lost(error, call, self._settings, begun=response is not None)

    def _made(self, call: Call, at: _Progress) -> ReadyRequest:
        """Create the request; headers that many requests share are built once."""
        kind = tuple(call.headers.items())
        if kind not in self._ready:
            self._ready[kind] = httpx.Headers(self._headers | dict(kind))
        headers = httpx.Headers(self._ready[kind])
        if call.body is not None:
            headers["Content-Length"] = str(len(call.body))
        extensions = {"trace": at.trace, "max_bytes": self._max_bytes}
        return ReadyRequest(call.method, self._origin, self._path + call.target, headers, call.body or b"", extensions)

    def _on_this_loop(self) -> Pool:
        loop = asyncio.get_running_loop()
        with self._making:  # no await in here, so two callers cannot create two pools
            if self._closed:
                raise ClientClosed(CLOSED)
            if self._open is not None and self._open.process != os.getpid():
                raise ClientError(
                    "this client was opened before a fork, and two processes cannot share its connections: "
                    "make a client in the child"
                )
            if self._open is None or self._open.loop.is_closed():
                self._open = open_pool(self._made_transport(), self._settings.limit)
            if self._open.loop is not loop:
                raise ClientError("this client is in use on another event loop: make one client for each loop")
            return self._open

    def _made_transport(self) -> httpx.AsyncBaseTransport:
        made = self._transport(self._settings) if callable(self._transport) else None
        if not isinstance(made, httpx.AsyncBaseTransport):
            given = shown(self._transport)
            raise SettingsError(f"transport {given}: pass a function that takes settings and makes an httpx transport")
        return made

    async def __aenter__(self) -> Self:
        if self._closed:
            raise ClientClosed(CLOSED)
        if self._entered:
            raise ClientError("this client is in an 'async with' already, and its end would close it for both: use one")
        self._entered = True
        return self

    async def aclose(self) -> None:
        """Close the connections; requests under way, wherever they wait, raise ClientClosed.

        Also works from another event loop: it then waits at most ``timeout`` seconds until the client's own loop has
        closed them.
        """
        with self._making:
            self._closed = True
            here, self._open = self._open, None
        if here is None or here.loop.is_closed() or here.process != os.getpid():
            return
        if here.loop is asyncio.get_running_loop():
            await here.aclose()
        else:
            await here.aclose_from_elsewhere(self._settings.timeout)

    def __del__(self) -> None:
        if getattr(self, "_open", None) is not None:
            warnings.warn(f"{self!r} was never closed: use 'async with'", ResourceWarning, source=self, stacklevel=2)
