"""Read and write tables of any length with several requests of limited size."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from itertools import islice
from typing import Any, Unpack

from supalab import replies, wire
from supalab.clients.base import Client
from supalab.errors import BadResponse, ClientError, SettingsError, shown
from supalab.filters import all_of, gt
from supalab.query_values import Filters, Group, parameters, text_of, unquoted, written_name
from supalab.replies import Rows
from supalab.settings import checked_size
from supalab.wire import Call, Embedded, Names, Query, Row

__all__ = ["LongTables"]


class LongTables(Client):
    """The methods of ``SupabaseAsync`` for tables of any length."""

    async def pages(
        self,
        table: str,
        *,
        columns: Names = "*",
        filters: Filters | None = None,
        embedded: Mapping[str, Embedded] | None = None,
        key: str = "id",
        size: int = 500,
        ahead: int = 1,
    ) -> AsyncIterator[Rows]:
        """Read a table of any length page by page, ordered by ``key``: a unique column among ``columns``, never null.

        ``columns``, ``filters`` and ``embedded`` are those of ``select``. Each page starts behind the last key seen, so
        rows that others insert or delete meanwhile shift nothing. A page's ``truncated`` is true if the page is shorter
        than ``size`` but more rows followed: the server cut it, or rows were added meanwhile. No row is lost in either
        case. The next page is requested while you work on this one, unless ``ahead`` is 0. Raises SettingsError for
        rows without a key, BadResponse for a server that ignores filters.
        """
        checked_size("size", size)
        if not isinstance(ahead, int) or ahead not in (0, 1):
            raise SettingsError(f"ahead {shown(ahead)}: use 1 to ask for the next page while you work on one, or 0")
        parameters(filters)  # raises for an invalid filter: below, an empty one would count as no filter
        wanted = [filters] if isinstance(filters, (Mapping, Group)) else list(filters or [])
        reader = self._in_order(table, unquoted(key), size, wanted, columns=columns, embedded=embedded)

        async def next_page() -> Rows | None:
            return await anext(reader, None)

        async with aclosing(reader):
            page = await next_page()
            while page:
                # A short page is the last one, or the server cut it (Supabase: 1,000 rows): the next shows which.
                short = len(page) < size
                following = asyncio.create_task(next_page()) if short or ahead else None
                try:
                    page.truncated = short and following is not None and bool(await following)
                    yield page
                    page = await (following or next_page())
                finally:
                    await _ended(following)

    async def _in_order(
        self, table: str, key: str, size: int, wanted: list[Any], **query: Unpack[Query]
    ) -> AsyncGenerator[Rows, None]:
        """Yield pages, each behind the last key of the one before; each is read when it is asked for."""
        query["order"] = name = written_name(key)
        behind: list[Any] = []
        seen: set[str] = set()
        while True:
            query |= {"filters": [*behind, *wanted], "limit": size}
            page, place = await self._page(wire.select(table, **query), key)
            if not page:
                break
            if place in seen:
                found = f"pages of {table!r}: a second page ends at {key} {place[:40]!r}"
                raise BadResponse(f"{found}: the server ignores filters or order")
            seen.add(place)
            behind = [{name: gt(place)}]
            yield page
        if behind:
            # NULL comes after no key, so rows without a key are searched for at the end: none is lost silently.
            query |= {"filters": [all_of({name: None}), *wanted], "limit": 1}
            await self._page(wire.select(table, **query), key)

    async def _page(self, call: Call, key: str) -> tuple[Rows, str]:
        """Read a page, and the key of its last row as text."""
        reply = await self._ask(call)
        page = replies.rows(call, reply, self._settings.secrets)
        if None in [row.get(key) for row in page]:
            raise SettingsError(f"pages are ordered by {key!r}: name it among the columns, and it must never be null")
        last = page[-1][key] if page else ""
        # A float keeps 17 digits, a numeric column may have more: the key is the number as it was written.
        return page, text_of(replies.last_as_written(reply)[key] if isinstance(last, float) else last)

    async def insert_many(
        self,
        table: str,
        new: Iterable[Row] | AsyncIterable[Row],
        *,
        size: int = 500,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Insert any number of rows in requests of ``size``, one after another, and return how many there were.

        Each request is all or nothing, the whole is not: whatever ends it early, a cancellation too, carries the number
        of rows that are in as its attribute ``rows_in`` and in a note. ``progress`` is called with that number after
        each request, and awaited if it is async.
        """
        checked_size("size", size)
        if isinstance(new, Mapping) or not isinstance(new, (Iterable, AsyncIterable)):
            raise SettingsError(f"insert_many takes a list of rows, or another source of them, not {shown(new)}")
        if progress is not None and not callable(progress):
            raise SettingsError(f"progress {shown(progress)} cannot be called: pass a function such as print")
        done = sending = 0
        try:
            async with aclosing(_portions(new, size)) as portions:
                async for portion in portions:
                    call = wire.insert(table, portion, return_="minimal", first=done + 1)
                    sending = len(portion)
                    await self._rows(call)
                    done, sending = done + sending, 0
                    said = progress(done) if progress else None
                    if inspect.isawaitable(said):
                        await said
        except BaseException as error:
            error.__dict__["rows_in"] = done
            # Our own errors already say what happened to the request.
            maybe = f"; the next {sending} may be in too" if sending and not isinstance(error, ClientError) else ""
            error.add_note(f"{done} rows of {table} had been inserted before this{maybe}")
            raise
        return done


async def _ended(task: asyncio.Task[Rows | None] | None) -> None:
    """Cancel a request that is no longer needed, so that nothing is left when the caller stops early."""
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])
    if task is not None and not task.cancelled():
        task.exception()  # seen, so that asyncio does not complain about it


async def _portions(new: Iterable[Row] | AsyncIterable[Row], size: int) -> AsyncGenerator[list[Row], None]:
    if not isinstance(new, AsyncIterable):
        rows = iter(new)
        while portion := list(islice(rows, size)):
            yield portion
        return
    portion = []
    async for row in new:
        portion.append(row)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion
