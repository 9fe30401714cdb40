"""aiohttp with nothing around it: a table's name goes in, its connector is queue and pool, rows come out."""

from __future__ import annotations

import ssl
from typing import Any

import aiohttp

from supalab.clients.base import slot_taken
from supalab.clients.peers.base import Peer, parameters
from supalab.wire import nobody_is_watching

__all__ = ["BareAiohttp"]


class BareAiohttp(Peer):
    """``aiohttp.ClientSession`` with a connector of ``limit`` connections."""

    _session: aiohttp.ClientSession | None = None

    def _opened(self) -> aiohttp.ClientSession:
        """Make the session at the first request: it wants a running loop."""
        if self._session is None:
            ca_file = self._settings.ca_file
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._settings.limit, ssl=ssl.create_default_context(cafile=ca_file) if ca_file else True
                ),
                headers=self._headers,
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=self._settings.timeout, sock_read=self._settings.timeout
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                # Tracing costs time, so only who times the requests pays for it.
                trace_configs=None if slot_taken.get() is nobody_is_watching else [_tracing()],
            )
        return self._session

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows."""
        async with self._opened().get(self._table(table), params=parameters(columns, limit)) as response:
            response.raise_for_status()
            return await response.json()

    async def aclose(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()


def _tracing() -> aiohttp.TraceConfig:
    """Whichever comes first, an old connection or the start of a new one: then the request has its slot."""

    async def taken(*_: Any) -> None:
        slot_taken.get()()  # runs in the task of the request, so it finds that request's own watcher

    config = aiohttp.TraceConfig()
    config.on_connection_reuseconn.append(taken)
    config.on_connection_create_start.append(taken)
    return config
