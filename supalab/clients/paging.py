"""Tables of any length, in requests of a bearable one: pages flow out of a client, rows flow into it in portions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from supalab.clients.base import Client
from supalab.errors import ClientError, SettingsError
from supalab.filters import gt
from supalab.names import unquoted, written_name
from supalab.query_values import Filters, Group, parameters
from supalab.replies import Rows
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
) -> AsyncIterator[Rows]:
    """Yield pages ordered by ``key``, each starting behind the last key seen; see ``SupabaseAsync.pages``.

    ``truncated``: rows came behind a page shorter than ``size``, so the server cut it, or rows were added meanwhile.
    """
    checked_size("size", size)
    key = unquoted(key) if isinstance(key, str) else key
    name = written_name(key)
    parameters(filters)  # raises for what is no filter: below, something empty would be taken for none

    wanted = [filters] if isinstance(filters, (Mapping, Group)) else list(filters or [])

    async def after(page: Rows | None) -> Rows:
        place = [] if page is None else [{name: gt(_last(page, key))}]
        return await client.select(table, columns=columns, filters=[*place, *wanted], order=name, limit=size)

    page = await after(None)
    while page:
        # A short page is the last one, or a server cuts (Supabase at 1,000 rows): only the next one tells.
        following = await after(page) if len(page) < size else None
        page.truncated = bool(following)
        yield page
        page = await after(page) if following is None else following


def _last(page: Rows, key: str) -> Any:
    if page[-1].get(key) is None:
        raise SettingsError(f"pages are ordered by {key!r}: name it among the columns, and it must never be null")
    return page[-1][key]


async def insert_many(
    client: Client, table: str, new: Iterable[Row], *, size: int = 500, progress: Callable[[int], None] | None = None
) -> int:
    """Insert rows in requests of ``size`` and return their number; see ``SupabaseAsync.insert_many``."""
    checked_size("size", size)
    if isinstance(new, Mapping) or not isinstance(new, Iterable):
        raise SettingsError(f"insert_many takes a list of rows, or anything else that brings them, not {new!r}")
    rows, done = iter(new), 0
    while portion := list(islice(rows, size)):
        try:
            await client.insert(table, portion, return_="minimal")
        except ClientError as error:
            error.add_note(f"{done} rows of {table} had been inserted before this portion of {len(portion)}")
            raise
        done += len(portion)
        if progress:
            progress(done)
    return done
