"""Read and write tables of any length with several requests of limited size."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from typing import Any

from supalab import replies, wire
from supalab.clients.base import Client
from supalab.errors import BadResponse, ClientError, SettingsError, shown
from supalab.filters import all_of, gt
from supalab.query_values import Filters, text_of, unquoted, written_name
from supalab.replies import Reply, Rows
from supalab.settings import checked_number
from supalab.wire import Call, Embedded, Names, Row


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

        ``columns``, ``filters`` and ``embedded`` are those of ``select``. Each page starts after the last key seen, so
        rows that others insert or delete meanwhile do not shift the pages. A page's ``truncated`` is true if the page
        is shorter than ``size`` but more rows followed: the server cut it, or rows were added meanwhile. No row is lost
        in either case. The next page is requested while you work on this one, unless ``ahead`` is 0. Raises
        SettingsError for rows without a key, BadResponse for a server that ignores filters.
        """
        checked_number("size", size)
        if not isinstance(ahead, int) or ahead not in (0, 1):
            raise SettingsError(f"ahead {shown(ahead)}: use 1 to ask for the next page while you work on one, or 0")
        column = unquoted(key)
        name = written_name(column)
        select = partial(wire.select, table, columns=columns, embedded=embedded, order=name, limit=size)
        short: Rows | None = None
        async with aclosing(self._in_order(select, column, filters, ahead=bool(ahead))) as found:
            async for reply in found:
                page = self._keyed(reply, column)
                if short is not None:
                    short.truncated = bool(page)
                    yield short
                # A short page is the last one, or the server cut it (Supabase: 1,000 rows): the next shows which.
                short = page if len(page) < size else None
                if short is None:
                    page.truncated = False
                    yield page

    async def _in_order(
        self, select: Callable[..., Call], key: str, filters: Any, *, ahead: bool
    ) -> AsyncGenerator[Reply, None]:
        """Yield the responses with the pages, each after the last key of the previous one; the last one has no rows."""
        name = written_name(key)
        call, following = select(filters=filters), None
        seen: set[str] = set()
        try:
            while True:
                reply = await (following or self._ask(call))
                place = _last_key(reply, key)
                if place is None:
                    break
                if place in seen:
                    found = f"pages of {call.target.partition('?')[0]}: a second page ends at {key} {place[:40]!r}"
                    raise BadResponse(f"{found}: the server ignores filters or order")
                seen.add(place)
                call = select(filters=[{name: gt(place)}, filters])
                if ahead:  # the server works on the next page while this one is decoded, and while the caller uses it
                    following = asyncio.create_task(self._ask(call))
                    await asyncio.sleep(0)  # the request is sent
                yield reply
            if seen:
                # No key compares with NULL, so a last request looks for rows without a key: none is lost silently.
                self._keyed(await self._ask(select(filters=[all_of({name: None}), filters], limit=1)), key)
            yield reply
        finally:
            if following is not None:  # the caller may have stopped early
                following.cancel()
                asyncio.gather(following, return_exceptions=True)  # retrieves its error, because nobody else will

    def _keyed(self, reply: Reply, key: str) -> Rows:
        """Decode a page; raises SettingsError for a row without a key."""
        page = replies.rows(Call("GET", ""), reply, self._settings.secrets)
        if None in [row.get(key) for row in page]:
            raise SettingsError(f"pages are ordered by {key!r}: name it among the columns, and it must never be null")
        return page

    async def insert_many(
        self,
        table: str,
        new: Iterable[Row] | AsyncIterable[Row],
        *,
        size: int = 500,
        progress: Callable[[int], object] | None = None,
    ) -> int:
        """Insert any number of rows in requests of ``size``, one after another, and return how many there were.

        Each request inserts all its rows or none, but the whole does not: an error that ends it early, or a
        cancellation, has the number of inserted rows in its attribute ``rows_in`` and in a note. ``progress`` is called
        with that number after each request, and awaited if it is async.
        """
        checked_number("size", size)
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
            # Our own errors already say what happened to the request, except where the response could not be read.
            told = isinstance(error, ClientError) and not isinstance(error, BadResponse)
            maybe = f"; the next {sending} may be in too" if sending and not told else ""
            error.add_note(f"{done} rows of {table} had been inserted before this{maybe}")
            raise
        return done


def _last_key(reply: Reply, key: str) -> str | None:
    """Return the key of a page's last row, None for an empty page; the other rows are not decoded for it."""
    last = (replies.last_row(reply) or {}).get(key)
    return None if last is None else text_of(last)


async def _portions(new: Iterable[Row] | AsyncIterable[Row], size: int) -> AsyncGenerator[list[Row], None]:
    portion = []
    async for row in new if isinstance(new, AsyncIterable) else _one_by_one(new):
        portion.append(row)
        if len(portion) == size:
            yield portion
            portion = []
    if portion:
        yield portion


async def _one_by_one(rows: Iterable[Row]) -> AsyncIterator[Row]:
    for row in rows:
        yield row
