"""The article's client with one number changed, and then with a gate: a ``Call`` goes in, its ``Reply`` comes out.

``kept`` keeps as many connections as it may open, so that none is dropped and dialled again. ``gated`` is that with
the queue before httpx's pool in place of inside it.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httpx

from supalab.clients.article import ArticleSupabaseAsync
from supalab.clients.transports import tls
from supalab.replies import Reply
from supalab.wire import Call

__all__ = ["GatedSupabaseAsync", "KeptSupabaseAsync"]


class KeptSupabaseAsync(ArticleSupabaseAsync):
    """The article's client with ``max_keepalive_connections`` equal to ``max_connections``."""

    async def _get_client(self) -> httpx.AsyncClient:
        if self._client is None:
            limit = self._settings.limit
            self._client = httpx.AsyncClient(
                headers=self._headers,
                timeout=self._settings.timeout,
                limits=httpx.Limits(max_connections=limit, max_keepalive_connections=limit),
                verify=tls(self._settings),
                trust_env=False,
            )
        return self._client


class GatedSupabaseAsync(KeptSupabaseAsync):
    """``KeptSupabaseAsync`` with a semaphore in front: at most ``limit`` requests ever stand before the pool."""

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        self._gate = asyncio.Semaphore(self._settings.limit)

    async def _request(self, call: Call) -> Reply:
        async with self._gate:
            return await super()._request(call)
