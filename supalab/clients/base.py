"""The base class of all clients: one constructor, and the methods that write a request and read its response.

Each client adds only ``_request``, which sends one call, and ``aclose``. To see the migration, compare these two
methods of two clients.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import replace
from types import TracebackType
from typing import Any, Literal, NoReturn, Self, TypedDict, Unpack, overload

from supalab import replies, wire
from supalab.errors import ApiError, BadResponse, ClientError, SettingsError
from supalab.query_values import Filters
from supalab.replies import Reply, Rows
from supalab.settings import Settings
from supalab.wire import Call, Names, Query, Resolution, Returned, Row, no_op

#: Code that times a request sets this; the client calls it when the request leaves the queue and takes a slot.
slot_taken: ContextVar[Callable[[], None]] = ContextVar("slot_taken", default=no_op)


class Options(TypedDict, total=False):
    """The keyword arguments of every client; see ``Settings``."""

    limit: int
    timeout: float
    ca_file: str | None
    rest_path: str
    schema: str | None
    token: str | None


class BaseClient(ABC):
    """A client of one project that can read a table and be closed. The clients in ``peers.py`` can only do this.

    Its arguments are those of ``Settings``: ``limit`` (10 requests in flight at once, unless a client has another
    default), ``timeout`` (30 seconds; what it limits depends on the client), ``ca_file``, ``rest_path``, ``schema``,
    ``token``.
    """

    def __init__(self, url: str, key: str | None, **options: Unpack[Options]) -> None:
        self._settings = Settings(url, key, **options)
        self._base, self._headers = self._settings.base, self._settings.headers

    @abstractmethod
    async def select(self, table: str, *, columns: str = "*", limit: int | None = None) -> Any:
        """Read rows of a table."""

    @abstractmethod
    async def aclose(self) -> None:
        """Close connections and threads; the client cannot be used afterwards."""

    async def close(self) -> None:
        """The article's name for ``aclose``."""
        await self.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be copied or sent to another process: make a client there")

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._settings.url} limit={self._settings.limit}>"


class Client(BaseClient):
    """A client with every method; see ``SupabaseAsync`` for the one to use.

    Each method raises SettingsError for arguments that cannot work, before anything is sent.
    """

    @abstractmethod
    async def _request(self, call: Call) -> Reply:
        """Send one call and wait for the whole response."""

    async def _ask(self, call: Call) -> Reply:
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            raise ClientError(
                "no asyncio event loop is running here: this client needs asyncio (asyncio.run, Jupyter), not trio"
            ) from None
        started = slot_taken.get()
        return await self._request(call if started is no_op else replace(call, started=started))

    async def _rows(self, call: Call) -> Rows:
        return replies.rows(call, await self._ask(call), self._settings.secrets)

    @overload
    async def select(
        self, table: str, *, single: Literal[False] = ..., maybe_single: Literal[False] = ..., **query: Unpack[Query]
    ) -> Rows: ...

    @overload
    async def select(self, table: str, *, single: Literal[True], **query: Unpack[Query]) -> Row: ...

    @overload
    async def select(self, table: str, *, maybe_single: Literal[True], **query: Unpack[Query]) -> Row | None: ...

    async def select(
        self, table: str, *, single: bool = False, maybe_single: bool = False, **query: Unpack[Query]
    ) -> Rows | Row | None:
        """Read rows; all arguments but the table are optional.

        ``columns``: names, or PostgREST's select grammar (``"id,n:title,owners(name)"``); all columns by default.
        ``filters``: see ``supalab.filters``. ``order``: ``"prize.desc,id"``, or ``"owners(name).desc"`` by a column of
        an embedded resource. ``limit``, ``offset``: how many rows to return, and how many to skip before them.
        ``embedded`` orders and limits the rows inside a resource: ``{"owners": {"order": "name", "limit": 3}}``. Put a
        name that contains such characters in double quotes: ``'"a.b"'``.

        ``count="exact"`` fills the rows' ``total``; with ``head=True`` only the count is sent. ``single=True``
        returns the one row, and any other number of rows is an error; ``maybe_single=True`` returns the row or None.
        """
        if (single or maybe_single) and (query.get("head") or (single and maybe_single)):
            raise SettingsError("single, maybe_single and head exclude each other: choose one")
        if maybe_single and query.get("limit") is None:
            query["limit"] = 2  # one more row than wanted is enough to see that there are too many
        found = await self._rows(wire.select(table, single=single, **query))
        return _the_one(found, table, must_be=single) if single or maybe_single else found

    async def insert(self, table: str, new: Row | Sequence[Row], **returned: Unpack[Returned]) -> Rows:
        """Add one row or many at once (all or none); returns them as stored.

        Every write takes ``columns``, which of the rows it returns, and ``return_="minimal"``, which returns none.
        """
        return await self._rows(wire.insert(table, new, **returned))

    async def upsert(
        self,
        table: str,
        new: Row | Sequence[Row],
        *,
        on_conflict: Names | None = None,
        ignore_duplicates: bool = False,
        **returned: Unpack[Returned],
    ) -> Rows:
        """Add rows; if a row with the same key (or ``on_conflict`` columns) exists, update it or keep it."""
        resolution: Resolution = "ignore-duplicates" if ignore_duplicates else "merge-duplicates"
        return await self._rows(wire.insert(table, new, on_conflict=on_conflict, resolution=resolution, **returned))

    async def update(self, table: str, values: Row, *, filters: Filters, **returned: Unpack[Returned]) -> Rows:
        """Change the rows that fit the filters; returns the changed rows."""
        return await self._rows(wire.update(table, values, filters=filters, **returned))

    async def delete(self, table: str, *, filters: Filters, **returned: Unpack[Returned]) -> Rows:
        """Remove the rows that fit the filters; returns the removed rows."""
        return await self._rows(wire.delete(table, filters=filters, **returned))

    async def rpc(self, function: str, arguments: Mapping[str, Any] | None = None) -> Any:
        """Call a database function with named arguments; returns the JSON of the response."""
        return replies.value(await self._ask(wire.call_function(function, arguments)), self._settings.secrets)


def _the_one(found: Rows, table: str, *, must_be: bool) -> Row | None:
    if len(found) > 1 and not must_be:
        raise ApiError(406, f"more than one row of {table!r} fits the filters of maybe_single")
    if must_be and len(found) != 1:
        raise BadResponse(f"expected one row of {table!r}, got {len(found)} (status 200)")
    return found[0] if found else None
