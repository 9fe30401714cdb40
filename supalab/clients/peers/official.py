"""The official client, async and sync: a table's name goes in, its builder and models do the rest, rows come out.

Both get the limit in the httpx client that they are built on, HTTP/1.1 (their default is HTTP/2, which the lab and
plain PostgREST do not speak), and connections that stay open.
"""

from __future__ import annotations

import asyncio
import contextvars
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import httpx

from supalab.clients.base import slot_taken
from supalab.clients.peers.base import Peer
from supalab.clients.transports import tls
from supalab.errors import SettingsError

__all__ = ["OfficialAsync", "OfficialInThreads"]

# By name, so that types can be checked where it is not installed.
supabase = import_module("supabase")


class _Official(Peer):
    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        if self._settings.key is None or self._settings.rest_path != "/rest/v1":
            raise SettingsError("the official client needs a key and always asks under /rest/v1: use another arm here")

    def _limits(self) -> dict[str, Any]:
        """Return what an httpx client needs to have this arm's limit."""
        limit = self._settings.limit
        return {
            "limits": httpx.Limits(max_connections=limit, max_keepalive_connections=limit),
            "timeout": httpx.Timeout(self._settings.timeout, pool=None),
            "verify": tls(self._settings),
            "follow_redirects": True,
            "trust_env": False,
        }


class OfficialAsync(_Official):
    """``supabase.AsyncClient`` with the same limit, and the gate in front that does it most good.

    With its queue inside httpx's pool it would be several times slower (compare ``httpx-100`` with
    ``real-httpx-100``); so what is said of it here is the least that can be said.
    """

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        self._gate = asyncio.Semaphore(self._settings.limit)
        self._http = httpx.AsyncClient(**self._limits())
        how = supabase.AsyncClientOptions(httpx_client=self._http)
        self._client = supabase.AsyncClient(url, self._settings.key, how)

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows."""
        async with self._gate:
            slot_taken.get()()
            return (await _query(self._client, table, columns, limit).execute()).data

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()


class OfficialInThreads(_Official):
    """The sync ``supabase.Client`` called through threads, as ``asyncio.to_thread`` does it, with ``limit`` threads.

    ``to_thread`` itself takes the loop's default threads, 4 more than there are processors and 32 at most: the
    limit would depend on the machine. So the threads are the arm's own, and the call is the one ``to_thread`` makes.
    """

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        self._threads = ThreadPoolExecutor(self._settings.limit)
        self._http = httpx.Client(**self._limits())
        self._client = supabase.Client(url, self._settings.key, supabase.ClientOptions(httpx_client=self._http))

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows."""
        here = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, here.run, self._send, table, columns, limit)

    def _send(self, table: str, columns: str, limit: int | None) -> Any:
        slot_taken.get()()
        return _query(self._client, table, columns, limit).execute().data

    async def aclose(self) -> None:
        """Let the threads finish what they have begun, then close the connections."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._http.close()


def _query(client: Any, table: str, columns: str, limit: int | None) -> Any:
    query = client.table(table).select(columns)
    return query if limit is None else query.limit(limit)
