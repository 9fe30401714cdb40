"""Third-party clients for comparison: each reads a table in the way its users would write it, and can do no more.

A library is imported when its client is created, so libraries that are not used need not be installed.
"""

from __future__ import annotations

import asyncio
import contextvars
import ssl
from abc import abstractmethod
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

import httpx

from supalab.clients.base import BaseClient, slot_taken
from supalab.clients.transports import httpx_options, pooled_transport, watched
from supalab.errors import SettingsError
from supalab.wire import Call


class Peer(BaseClient):
    """A third-party library under the same conditions as our clients: limit, headers with the key, HTTP/1.1, no proxy.

    A semaphore limits the requests, because most pools are slower with a queue inside. ``timeout``: seconds for each
    phase of a request; the wait for a slot is unlimited, because a race measures how long it takes.
    """

    #: The library's client, and what closes its connections.
    _client: Any = None
    _close: Callable[[], Awaitable[None]] | None = None

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        self._headers["Accept"] = "application/json"
        self._gate = asyncio.Semaphore(self._settings.limit)

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows; raises the errors of the library."""
        async with self._gate:
            slot_taken.get()()
            return await self._read(table, columns, limit)

    @abstractmethod
    async def _read(self, table: str, columns: str, limit: int | None) -> Any:
        """Read rows in the library's own way."""

    def _request(self, table: str, columns: str, limit: int | None) -> dict[str, Any]:
        """The address and the query of a read, for the library to encode."""
        query = {"select": columns} | ({} if limit is None else {"limit": str(limit)})
        return {"url": f"{self._base}/{table}", "params": query}

    async def aclose(self) -> None:
        """Close the connections."""
        if self._close is not None:
            await self._close()


class BareAiohttp(Peer):
    """``aiohttp.ClientSession`` with a connector of ``limit`` connections."""

    async def _read(self, table: str, columns: str, limit: int | None) -> Any:
        if self._client is None:  # at the first request, because it wants a running loop
            self._client = self._opened()
            self._close = self._client.close
        async with self._client.get(**self._request(table, columns, limit)) as response:
            response.raise_for_status()
            return await response.json()

    def _opened(self) -> Any:
        aiohttp = import_module("aiohttp")
        ca_file, seconds = self._settings.ca_file, self._settings.timeout
        context = ssl.create_default_context(cafile=ca_file) if ca_file else True
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._settings.limit, ssl=context),
            headers=self._headers,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=seconds, sock_read=seconds),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )


class BareHttpx(Peer):
    """``httpx.AsyncClient`` with all connections kept alive and without our semaphore: its queue is inside its pool."""

    #: The library; a fork has the same API.
    library = "httpx"

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        library = import_module(self.library)
        how = self._how(library) | {"timeout": library.Timeout(self._settings.timeout, pool=None)}
        self._client = library.AsyncClient(headers=self._headers, **how)
        self._close = self._client.aclose

    def _how(self, library: Any) -> dict[str, Any]:
        return httpx_options(self._settings, library)

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows."""
        return await self._read(table, columns, limit)

    async def _read(self, table: str, columns: str, limit: int | None) -> Any:
        watching = watched(Call("GET", "", started=slot_taken.get()))
        response = await self._client.get(**self._request(table, columns, limit), extensions=watching)
        response.raise_for_status()
        return response.json()


class BareHttpx2(BareHttpx):
    """``httpx2.AsyncClient``, from a fork of httpx."""

    library = "httpx2"


class OwnTransport(BareHttpx):
    """A plain ``httpx.AsyncClient`` on the transport of ``SupabaseAsync``, without what our client adds."""

    select = Peer.select

    def _how(self, library: Any) -> dict[str, Any]:
        return {"transport": pooled_transport(self._settings)}


class OfficialAsync(Peer):
    """``supabase.AsyncClient`` with HTTP/1.1 (the lab and plain PostgREST do not support HTTP/2, its default).

    Without the semaphore it would be several times slower (compare ``httpx-100`` with ``real-httpx-100``).
    """

    http, client, how = "AsyncClient", "AsyncClient", "AsyncClientOptions"

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        if self._settings.key is None or self._settings.rest_path != "/rest/v1":
            raise SettingsError("the official client needs a key and always uses /rest/v1: use another arm here")
        supabase = import_module("supabase")  # by name, so that types can be checked where it is not installed
        self._http = getattr(httpx, self.http)(follow_redirects=True, **httpx_options(self._settings))
        how = getattr(supabase, self.how)(httpx_client=self._http)
        self._client = getattr(supabase, self.client)(url, self._settings.key, how)
        self._close = getattr(self._http, "aclose", None)

    def _query(self, table: str, columns: str, limit: int | None) -> Any:
        query = self._client.table(table).select(columns)
        return query if limit is None else query.limit(limit)

    async def _read(self, table: str, columns: str, limit: int | None) -> Any:
        return (await self._query(table, columns, limit).execute()).data


class OfficialInThreads(OfficialAsync):
    """The sync ``supabase.Client``, called in ``limit`` threads of its own in the way ``asyncio.to_thread`` does it.

    ``to_thread`` itself takes the loop's default threads, whose number depends on the machine.
    """

    http, client, how = "Client", "Client", "ClientOptions"

    def __init__(self, url: str, key: str | None, **options: Any) -> None:
        super().__init__(url, key, **options)
        self._threads = ThreadPoolExecutor(self._settings.limit)

    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows."""
        here = contextvars.copy_context()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, here.run, self._send, table, columns, limit)

    def _send(self, table: str, columns: str, limit: int | None) -> Any:
        slot_taken.get()()
        return self._query(table, columns, limit).execute().data

    async def aclose(self) -> None:
        """Let the threads finish what they have begun, then close the connections."""
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        self._http.close()
