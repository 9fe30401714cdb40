"""Read and write tables of any length, in requests of a bearable size."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
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
from supalab.wire import Row

__all__ = ["insert_many", "pages"]


async def pages(
    client: Client,
    table: str,
    *,
    columns: str | Sequence[str] = "*",
    filters: Filters | None = None,
    key: str = "id",
    size: int = 500,
    ahead: int = 1,
) -> AsyncIterator[Rows]:
    """Yield pages ordered by ``key``, each starting behind the last key seen; see ``SupabaseAsync.pages``.

    ``truncated``: rows came behind a page shorter than ``size``, so the server cut it, or rows were added meanwhile.
    """
    checked_size("size", size)
    if not isinstance(ahead, int) or ahead not in (0, 1):
        raise SettingsError(f"ahead {shown(ahead)}: use 1 to ask for the next page while you work on this one, or 0")
    reader = _Reader(client, table, columns, filters, key, size)
    page = await reader.read_next()
    while page:
        # A short page is the last one, or a server cuts (Supabase at 1,000 rows): only the next one tells.
        short = len(page) < size
        following = asyncio.create_task(reader.read_next()) if short or ahead else None
        try:
            page.truncated = short and following is not None and bool(await following)
            yield page
            page = await (following or reader.read_next())
        finally:
            await _ended(following)


async def _ended(task: asyncio.Task[Rows] | None) -> None:
    """End a request that nobody waits for any more, so that nothing is left when the caller stops early."""
    if task is not None and not task.done():
        task.cancel()
        await asyncio.wait([task])
    if task is not None and not task.cancelled():
        task.exception()  # seen, so that asyncio does not complain about it


class _Reader:
    """A place in a table, ordered by a unique column: behind the last row that was read."""

    def __init__(
        self,
        client: Client,
        table: str,
        columns: str | Sequence[str],
        filters: Filters | None,
        key: str,
        size: int,
    ) -> None:
        self.key = unquoted(key)
        self.name = written_name(self.key)
        parameters(filters)  # raises for what is no filter: below, something empty would be taken for none
        self.wanted = [filters] if isinstance(filters, (Mapping, Group)) else list(filters or [])
        self.client, self.table, self.columns, self.size = client, table, columns, size
        self.place: str | None = None
        self.seen: set[str] = set()

    async def read_next(self) -> Rows:
        """Read the next page; an empty one is the end."""
        where = [] if self.place is None else [{self.name: gt(self.place)}]
        page, reply = await self._read(where, self.size)
        if page:
            self._move(page, reply)
        elif where:
            # NULL is behind no key: a row without one is looked for at the end, so that it is not lost without a word.
            await self._read([all_of({self.name: None})], 1)
        return page

    async def _read(self, where: list[Any], limit: int) -> tuple[Rows, Reply]:
        filters = [*where, *self.wanted]
        call = wire.select(self.table, columns=self.columns, filters=filters, order=self.name, limit=limit)
        reply = await self.client._ask(call)
        page = replies.rows(call, reply, self.client._settings.secrets)
        if any(row.get(self.key) is None for row in page):
            raise SettingsError(
                f"pages are ordered by {self.key!r}: name it among the columns, and it must never be null"
            )
        return page, reply

    def _move(self, page: Rows, reply: Reply) -> None:
        last = page[-1][self.key]
        # A float keeps 17 digits, a numeric column may have more: the place is the number as it was written.
        place = text_of(replies.last_as_written(reply)[self.key] if isinstance(last, float) else last)
        if place in self.seen:
            raise BadResponse(
                f"pages of {self.table!r}: a second page ends at {self.key} {place[:40]!r}:"
                " the server ignores filters or order"
            )
        self.seen.add(place)
        self.place = place


async def insert_many(
    client: Client,
    table: str,
    new: Iterable[Row] | AsyncIterable[Row],
    *,
    size: int = 500,
    progress: Callable[[int], object] | None = None,
) -> int:
    """Insert rows in requests of ``size`` and return their number; see ``SupabaseAsync.insert_many``."""
    checked_size("size", size)
    if isinstance(new, Mapping) or not isinstance(new, (Iterable, AsyncIterable)):
        raise SettingsError(f"insert_many takes a list of rows, or anything else that brings them, not {shown(new)}")
    done = sending = 0
    try:
        async with aclosing(_portions(new, size)) as portions:
            async for portion in portions:
                call = wire.insert(table, portion, return_="minimal", first=done + 1)
                sending = len(portion)
                await client._rows(call)
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
