"""Tables of any length, in requests of a bearable one: pages flow out of a client, rows flow into it in portions."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from itertools import islice
from typing import Any

from supalab.clients.base import Client
from supalab.errors import ClientError, SettingsError
from supalab.filters import gt
from supalab.replies import Rows
from supalab.where import Condition, Filters, Group, column_name
from supalab.wire import Row

__all__ = ["insert_many", "pages"]


async def pages(
    client: Client, table: str, *, columns: str = "*", filters: Filters | None = None, key: str = "id", size: int = 500
) -> AsyncIterator[Rows]:
    """Yield pages ordered by ``key``, each starting behind the last key seen; see ``SupabaseAsync.pages``."""
    _check_size(size)
    column_name(key)
    page = await _page(client, table, columns, filters, key, size, None)
    while page:
        if key not in page[-1]:
            raise SettingsError(f"pages are ordered by {key!r}: name it among the columns {columns!r}")
        # Only an empty page is the end: a server that cuts (Supabase at 1,000 rows) sends short ones before it.
        after = await _page(client, table, columns, filters, key, size, page[-1][key])
        page.truncated = bool(after) and len(page) < size
        yield page
        page = after


async def _page(
    client: Client, table: str, columns: str, filters: Filters | None, key: str, size: int, last: Any
) -> Rows:
    behind: list[dict[str, Condition] | Any] = [] if last is None else [{key: gt(last)}]
    if filters is not None:
        behind += [filters] if isinstance(filters, (dict, Group)) else list(filters)
    return await client.select(table, columns=columns, filters=behind, order=key, limit=size)


async def insert_many(
    client: Client, table: str, new: Iterable[Row], *, size: int = 500, progress: Callable[[int], None] | None = None
) -> int:
    """Insert rows in requests of ``size`` and return their number; see ``SupabaseAsync.insert_many``."""
    _check_size(size)
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


def _check_size(size: object) -> None:
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise SettingsError(f"size {size!r} is not a whole number of rows from 1 up")
