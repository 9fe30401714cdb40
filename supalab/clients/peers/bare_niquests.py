"""niquests with nothing around it: a table's name goes in, its pool blocks when it is full, rows come out.

When a request leaves the queue it does not tell, so the wait stays unknown.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from supalab.clients.peers.base import Peer, parameters

__all__ = ["BareNiquests"]

# By name, so that types can be checked where it is not installed.
niquests = import_module("niquests")
HTTP_1_ONLY = {"disable_http2": True, "disable_http3": True}


class BareNiquests(Peer):
    """``niquests.AsyncSession`` with a blocking pool of ``limit`` connections, HTTP/1.1 only like all the others."""

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        self._session = niquests.AsyncSession(headers=self._headers, timeout=self._settings.timeout, **HTTP_1_ONLY)
        self._session.trust_env = False
        self._session.verify = self._settings.ca_file or True
        # The session's own pool does not block: with a longer queue it opens more connections than it keeps.
        adapter = niquests.adapters.AsyncHTTPAdapter(
            pool_connections=1, pool_maxsize=self._settings.limit, pool_block=True, **HTTP_1_ONLY
        )
        self._session.mount(self._settings.url, adapter)

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows."""
        response = await self._session.get(self._table(table), params=parameters(columns, limit))
        response.raise_for_status()
        return response.json()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._session.close()
