"""Plausible wrong answers for the exercises of notebook 04, and a piece of what each must be told."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from supalab.course.small import SmallClient
from supalab.errors import ApiError

STORED = "return=representation"


class Put(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return await self._request("PUT", table, json=rows, prefer=STORED)


class AskedForNothing(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return await self._request("POST", table, json=rows)


class ReturnsNothing(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        await self._request("POST", table, json=rows, prefer=STORED)


class ReturnsWhatWasSent(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        await self._request("POST", table, json=rows)
        return rows if isinstance(rows, list) else [rows]


class OneByOne(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        each = rows if isinstance(rows, list) else [rows]
        return [row for one in each for row in await self._request("POST", table, json=one, prefer=STORED)]


class ListInAList(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return [await self._request("POST", table, json=rows, prefer=STORED)]


class Swallows(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        try:
            return await self._request("POST", table, json=rows, prefer=STORED)
        except ApiError:
            return []


class Upserts(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return await self._request("POST", table, json=rows, prefer=f"{STORED},resolution=merge-duplicates")


class NoAwait(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return self._request("POST", table, json=rows, prefer=STORED)


class LoopsOverOneRow(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return [await self._request("POST", table, json=one, prefer=STORED) for one in rows]


class GoesAroundRequest(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return await self._client.post(f"{self._base}/{table}", json=rows)  # type: ignore[union-attr]


class NotAsync(SmallClient):
    def insert(self, table: str, rows: Any) -> Any:
        return rows


class RowsByPosition(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return await self._request("POST", table, rows)  # type: ignore[misc]


class NoSuchVerb(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return await self._request("INSERT", table, json=rows, prefer=STORED)


class SendsNothing(SmallClient):
    async def insert(self, table: str, rows: Any) -> Any:
        return rows


class OnlyText(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        params = {column: "eq." + value for column, value in filters.items()}
        return await self._request("PATCH", table, params=params, json=values, prefer=STORED)


class ASet(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        params: Any = {f"{column}=eq.{value}" for column, value in filters.items()}
        return await self._request("PATCH", table, params=params, json=values, prefer=STORED)


class Glued(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        query = "&".join(f"{column}=eq.{value}" for column, value in filters.items())
        return await self._request("PATCH", f"{table}?{query}", json=values, prefer=STORED)


class NoOperator(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        return await self._request("PATCH", table, params=filters, json=values, prefer=STORED)


class EscapedTwice(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        params = {column: f"eq.{quote(str(value))}" for column, value in filters.items()}
        return await self._request("PATCH", table, params=params, json=values, prefer=STORED)


class Quoted(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        params = {column: f'eq."{value}"' for column, value in filters.items()}
        return await self._request("PATCH", table, params=params, json=values, prefer=STORED)


class Swapped(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        return await self._request("PATCH", table, params=values, json=filters, prefer=STORED)


class Posts(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        params = {column: f"eq.{value}" for column, value in filters.items()}
        return await self._request("POST", table, params=params, json=values, prefer=STORED)


class FirstFilterOnly(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        column, value = next(iter(filters.items()))
        return await self._request("PATCH", table, params={column: f"eq.{value}"}, json=values, prefer=STORED)


class Silent(SmallClient):
    async def update(self, table: str, values: Any, filters: Any) -> Any:
        params = {column: f"eq.{value}" for column, value in filters.items()}
        await self._request("PATCH", table, params=params, json=values)


WRONG: dict[str, tuple[tuple[Any, str], ...]] = {
    "04a": (
        (Put, "POST adds rows"),
        (AskedForNothing, "only when it is asked to"),
        (ReturnsNothing, "returns None"),
        (ReturnsWhatWasSent, "not what the server stored"),
        (OneByOne, "half of an insert"),
        (ListInAList, "a list inside a list"),
        (Swallows, "the caller was not told"),
        (Upserts, "yours has overwritten it"),
        (NoAwait, "needs an await"),
        (LoopsOverOneRow, "goes through its columns"),
        (GoesAroundRequest, "Let self._request send it"),
        (NotAsync, "write async def"),
        (RowsByPosition, "Your code raised an error"),
        (NoSuchVerb, "Invalid HTTP request received. POST adds rows"),
        (SendsNothing, "Let self._request send it"),
    ),
    "04b": (
        (Glued, "The & ended the value"),
        (NoOperator, "an operator, a dot and a value"),
        (Swapped, "The new value came as a filter"),
        (Posts, "PATCH changes rows"),
        (EscapedTwice, "The filter matches no row"),
        (Quoted, "without quotation marks or escapes"),
        (FirstFilterOnly, "one of the two filters got lost"),
        (Silent, "Return the rows as they are now"),
        (OnlyText, "Your code raised an error"),
        (ASet, "Your code raised an error"),
    ),
}
