"""Read and write tables of any length, in requests of a bearable size."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from functools import partial
from itertools import islice
from typing import Any

from supalab import replies, wire
from supalab.clients.base import Client
from supalab.errors import BadResponse, ClientError, SettingsError, shown
from supalab.filters import all_of, gt
from supalab.names import unquoted, written_name
from supalab.query_values import Filters, Group, parameters, text_of
from supalab.replies import Reply, Rows
from supalab.settings import checked_size
from supalab.wire import Embedded, Names, Row

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
        rows that others insert or delete meanwhile shift nothing. A page's ``truncated`` says that it is shorter than
        ``size`` and yet rows came behind it: the server cut it, or rows were added meanwhile; the rows are all there
        either way. The next page is asked for while you work on this one, unless ``ahead`` is 0. Raises SettingsError
        for rows without a key, BadResponse for a server that ignores filters.
        """
        checked_size("size", size)
        if not isinstance(ahead, int) or ahead not in (0, 1):
            raise SettingsError(f"ahead {shown(ahead)}: use 1 to ask for the next page while you work on one, or 0")
        place = _Place(table, key)
        parameters(filters)  # raises for what is no filter: below, something empty would be taken for none
        wanted = [filters] if isinstance(filters, (Mapping, Group)) else list(filters or [])
        read = partial(wire.select, table, columns=columns, order=place.name, embedded=embedded)

        async def next_page() -> Rows:
            page, reply = await self._page(read(filters=[*place.behind, *wanted], limit=size), place)
            if page:
                place.move(page, reply)
            elif place.behind:
                # NULL is behind no key, so a row without one is looked for at the end: it is never lost silently.
                await self._page(read(filters=[all_of({place.name: None}), *wanted], limit=1), place)
            return page

        page = await next_page()
        while page:
            # A short page is the last one, or a server cuts (Supabase at 1,000 rows): only the next one tells.
            short = len(page) < size
            following = asyncio.create_task(next_page()) if short or ahead else None
            try:
                page.truncated = short and following is not None and bool(await following)
                yield page
                page = await (following or next_page())
            finally:
                await _ended(following)

    async def _page(self, call: wire.Call, place: _Place) -> tuple[Rows, Reply]:
        reply = await self._ask(call)
        page = replies.rows(call, reply, self._settings.secrets)
        if any(row.get(place.key) is None for row in page):
            raise SettingsError(
                f"pages are ordered by {place.key!r}: name it among the columns, and it must never be null"
            )
        return page, reply

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
            # An error of ours says itself what became of its request.
            maybe = f"; the next {sending} may be in too" if sending and not isinstance(error, ClientError) else ""
            error.add_note(f"{done} rows of {table} had been inserted before this{maybe}")
            raise
        return done


class _Place:
    """A place in a table that is ordered by a unique column: behind the last row that was read."""

    def __init__(self, table: str, key: str) -> None:
        self.table, self.key = table, unquoted(key)
        self.name = written_name(self.key)
        self.behind: list[Any] = []
        self.seen: set[str] = set()

    def move(self, page: Rows, reply: Reply) -> None:
        last = page[-1][self.key]
        # A float keeps 17 digits, a numeric column may have more: the place is the number as it was written.
        place = text_of(replies.last_as_written(reply)[self.key] if isinstance(last, float) else last)
        if place in self.seen:
            raise BadResponse(
                f"pages of {self.table!r}: a second page ends at {self.key} {place[:40]!r}:"
                " the server ignores filters or order"
            )
        self.seen.add(place)
        self.behind = [{self.name: gt(place)}]


async def _ended(task: asyncio.Task[Rows] | None) -> None:
    """End a request that nobody waits for any more, so that nothing is left when the caller stops early."""
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
