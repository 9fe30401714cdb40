"""Clients that differ in one thing each from a client of the course, so that its effect can be measured."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from supalab.clients.article import ArticleSupabaseAsync
from supalab.clients.fake import FakeSupabaseAsync
from supalab.clients.real import SupabaseAsync
from supalab.clients.transports import httpx_options, httpx_transport
from supalab.replies import Reply
from supalab.wire import Call


class BlockingSupabaseAsync(FakeSupabaseAsync):
    """``requests`` directly on the event loop: one request at a time, and nothing else on the loop runs meanwhile.

    It differs from ``fake.py`` in one line: the loop's own thread does the work. ``limit`` changes nothing.
    """

    async def _request(self, call: Call) -> Reply:
        return self._send(call)


class HttpxInThreads(FakeSupabaseAsync):
    """Threads as in ``fake.py`` that share one ``httpx.Client`` with the article's limits.

    It differs from ``session.py`` in the library and its limits, and from ``article.py`` only in using threads.
    """

    def __init__(self, url: str, key: str | None, *, limit: int = 10, **options: Any) -> None:
        super().__init__(url, key, limit=limit, **options)
        self._client = httpx.Client(headers=self._headers, **httpx_options(self._settings, keep=limit // 2))

    def _send(self, call: Call) -> Reply:
        call.started()
        r = self._client.request(call.method, self._base + call.target, headers=call.headers, content=call.body)
        r.raise_for_status()
        return Reply(r.status_code, r.headers, r.content)

    async def aclose(self) -> None:
        """Let the threads finish what they have begun, then close the connections."""
        await super().aclose()
        self._client.close()


class KeptSupabaseAsync(ArticleSupabaseAsync):
    """The article's client with ``max_keepalive_connections`` equal to ``max_connections``, so it never reconnects."""

    async def _get_client(self) -> httpx.AsyncClient:
        if self._client is None:
            self._client = httpx.AsyncClient(headers=self._headers, **httpx_options(self._settings))
        return self._client


class GatedSupabaseAsync(KeptSupabaseAsync):
    """``KeptSupabaseAsync`` with a semaphore in front: its queue is before httpx's pool, not inside it."""

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        self._gate = asyncio.Semaphore(self._settings.limit)

    async def _request(self, call: Call) -> Reply:
        async with self._gate:
            return await super()._request(call)


class RealOverHttpx(SupabaseAsync):
    """``SupabaseAsync`` on httpx's own transport; semaphore, deadline and errors are the same."""

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, transport=httpx_transport, **options)
