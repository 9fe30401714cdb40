"""The article's "after", as published: a lazily made ``httpx.AsyncClient`` that keeps half of its connections alive.

Its faults are kept because the course teaches them: under load it closes connections and opens new ones; its queue is
inside httpx's pool, where cancelled callers can break the pool permanently; one client fails in two event loops; and
``timeout`` applies separately to connecting, to each write, to each read and to the wait for the pool, not to the whole
request.
"""

from __future__ import annotations

from typing import Optional

import httpx

from supalab.clients.base import Client
from supalab.clients.transports import tls, watched
from supalab.replies import Reply
from supalab.wire import Call


class ArticleSupabaseAsync(Client):
    """The client that the article migrates to: real async, at most ``limit`` connections."""

    _client: Optional[httpx.AsyncClient] = None  # noqa: UP045  # as published

    async def _get_client(self) -> httpx.AsyncClient:
        if self._client is None:
            limit = self._settings.limit
            self._client = httpx.AsyncClient(
                headers=self._headers,
                timeout=self._settings.timeout,
                limits=httpx.Limits(max_connections=limit, max_keepalive_connections=limit // 2),
                verify=tls(self._settings),
                trust_env=False,
            )
        return self._client

    async def _request(self, call: Call) -> Reply:
        client = await self._get_client()
        r = await client.request(
            call.method, self._base + call.target, headers=call.headers, content=call.body, extensions=watched(call)
        )
        r.raise_for_status()
        return Reply(r.status_code, r.headers, r.content)

    async def aclose(self) -> None:
        """Close the connections."""
        if self._client is not None:
            await self._client.aclose()
