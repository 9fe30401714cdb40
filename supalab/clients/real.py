"""The client you would ship: real async, with what production needs around it. ``Call`` → gate → httpx → ``Reply``.

Beside the article's version: a gate in front of the pool (so that cancelled callers leave it whole), as many
kept-alive connections as may be open, one deadline for everything, errors from one tree, and a lazily made client
that knows its loop.
"""

from __future__ import annotations

import asyncio
import threading
import warnings
from dataclasses import dataclass

import httpx

from supalab.clients.base import Client
from supalab.clients.transports import Transport, aiohttp_transport, was_sent
from supalab.errors import ClientClosed, ClientError, ConnectionLost, DeadlineExceeded, OutcomeUnknown
from supalab.replies import Reply
from supalab.settings import Settings
from supalab.wire import Call

__all__ = ["SupabaseAsync"]


@dataclass(frozen=True, slots=True)
class _Open:
    """What belongs to one event loop and cannot be used on another."""

    loop: asyncio.AbstractEventLoop
    gate: asyncio.Semaphore
    http: httpx.AsyncClient


class SupabaseAsync(Client):
    """A Supabase (or PostgREST) client: at most ``limit`` requests at once, each done or failed in ``timeout`` seconds.

    Nothing is opened before the first request, so it may be made outside a running loop; it belongs to the loop
    of its first request, and starts afresh on a new one when that has been closed. ``transport`` makes the httpx
    transport under it (see ``supalab.clients.transports``).

    Raises ApiError, BadResponse, DeadlineExceeded, ConnectionLost (OutcomeUnknown for a write) or ClientClosed.
    """

    def __init__(
        self,
        url: str,
        key: str | None,
        *,
        limit: int = 10,
        timeout: float = 30.0,
        ca_file: str | None = None,
        rest_path: str = "/rest/v1",
        transport: Transport = aiohttp_transport,
    ) -> None:
        self._settings = Settings(url, key, limit, timeout, ca_file, rest_path)
        self._base = self._settings.base
        self._headers = self._settings.headers
        self._transport = transport
        self._open: _Open | None = None
        self._closed = False
        self._making = threading.Lock()

    def _on_this_loop(self) -> _Open:
        loop = asyncio.get_running_loop()
        with self._making:  # no await in here: two callers cannot make two clients
            if self._closed:
                raise ClientClosed(
                    "this client is closed: make a new one, best with 'async with SupabaseAsync(…) as db'"
                )
            if self._open is None or self._open.loop.is_closed():
                self._open = self._opened(loop)
            if self._open.loop is not loop:
                raise ClientError("this client is in use on another event loop: make one client for each loop")
            return self._open

    def _opened(self, loop: asyncio.AbstractEventLoop) -> _Open:
        http = httpx.AsyncClient(
            headers=self._headers,
            timeout=None,  # noqa: S113  # _request sets one deadline over everything, which httpx has not
            transport=self._transport(self._settings),
            trust_env=False,
        )
        return _Open(loop, asyncio.Semaphore(self._settings.limit), http)

    async def _request(self, call: Call) -> Reply:
        here = self._on_this_loop()
        phase = "slot"
        try:
            async with asyncio.timeout(self._settings.timeout), here.gate:
                phase = "answer"
                call.started()
                r = await here.http.request(
                    call.method, self._base + call.target, headers=call.headers, content=call.body
                )
        except Exception as error:
            raise self._explained(error, call, phase) from error
        return Reply(r.status_code, r.headers, r.content)

    def _explained(self, error: Exception, call: Call, phase: str) -> Exception:
        what = f"{call.method} {call.target.partition('?')[0]}"
        if self._closed:
            return ClientClosed(f"the client was closed while {what} was on its way")
        if isinstance(error, TimeoutError):
            waited = f"{what} was not done within {self._settings.timeout:g} s"
            return DeadlineExceeded(
                f"{waited}: it was waiting for {'a slot' if phase == 'slot' else 'the answer'}", phase=phase
            )
        reason = f"{self._settings.url}: {error or type(error).__name__}"
        if call.method not in {"GET", "HEAD"} and was_sent(error):
            return OutcomeUnknown(f"{what} may have been applied: the connection broke before the answer ({reason})")
        return ConnectionLost(f"{what} failed: no answer from {reason}")

    async def aclose(self) -> None:
        """Close the connections; requests on their way raise ClientClosed."""
        self._closed = True
        here, self._open = self._open, None
        if here is not None and here.loop is asyncio.get_running_loop():
            await here.http.aclose()

    def __del__(self) -> None:
        if getattr(self, "_open", None) is not None:
            warnings.warn(f"{self!r} was never closed: use 'async with'", ResourceWarning, source=self, stacklevel=2)
