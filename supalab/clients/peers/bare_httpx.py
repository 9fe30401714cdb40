"""httpx with nothing around it: a table's name goes in, the library's pool and queue do the rest, rows come out.

``OwnTransport`` is the control for our client's wrapper: the same bare ``httpx.AsyncClient`` on the transport of ours.
"""

from __future__ import annotations

import asyncio
from types import ModuleType
from typing import Any

import httpx

from supalab.clients.base import slot_taken
from supalab.clients.peers.base import Peer, parameters
from supalab.clients.transports import pooled_transport, tls, watched
from supalab.wire import Call

__all__ = ["BareHttpx", "OwnTransport"]


class BareHttpx(Peer):
    """``httpx.AsyncClient`` with as many kept-alive connections as may be open, which is the best for it; no gate."""

    #: The library; a fork with the same API takes its place in a subclass.
    library: ModuleType = httpx

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        limit = self._settings.limit
        self._client = self._made(
            limits=self.library.Limits(max_connections=limit, max_keepalive_connections=limit),
            verify=tls(self._settings),
        )

    def _made(self, **how: Any) -> Any:
        return self.library.AsyncClient(
            headers=self._headers,
            timeout=self.library.Timeout(self._settings.timeout, pool=None),
            trust_env=False,
            **how,
        )

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows."""
        response = await self._client.get(
            self._table(table),
            params=parameters(columns, limit),
            extensions=watched(Call("GET", "", started=slot_taken.get())),
        )
        response.raise_for_status()
        return response.json()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._client.aclose()


class OwnTransport(BareHttpx):
    """A bare ``httpx.AsyncClient`` on the transport of ``SupabaseAsync``, with a gate, which that leaves to others."""

    def _made(self, **how: Any) -> Any:
        self._gate = asyncio.Semaphore(self._settings.limit)
        return super()._made(transport=pooled_transport(self._settings))

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows."""
        async with self._gate:
            slot_taken.get()()
            return await super().select(table, columns=columns, limit=limit)
