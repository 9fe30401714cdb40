"""Notebook 04: a learner's class with insert, or update, goes in; what the lab's table then holds is judged."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from supalab.clients.real import SupabaseAsync
from supalab.course.check import Exercise, NotDone
from supalab.course.feedback import Finding
from supalab.errors import ApiError
from supalab.filters import gte
from supalab.lab.handle import Lab

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from supalab.wire import Row

__all__ = ["EXERCISES"]

#: Ids that the shipped table does not have.
FIRST = 900_001


def _row(place: int, title: str) -> dict[str, Any]:
    return {"id": FIRST + place, "title": title, "url": f"https://contests.test/yours/{place}"}


@asynccontextmanager
async def _at_a_lab(make: Callable[[str, str], Any]) -> AsyncIterator[tuple[Any, SupabaseAsync, Lab]]:
    """The learner's client and one of ours that looks after it; whatever the learner's opened is closed."""
    async with Lab() as lab, SupabaseAsync(lab.url, lab.key) as ours:
        db = make(lab.url, lab.key)
        try:
            yield db, ours, lab
        finally:
            if db._client is not None:
                await db._client.aclose()


async def _tried(asked: Any) -> tuple[Any, Exception | None]:
    """What a method returned, or the error that it raised; a stub's is passed on."""
    if not inspect.isawaitable(asked):
        return NOT_ASYNC, None
    try:
        back = await asked
    except NotDone:
        raise
    except Exception as error:
        return None, error
    if inspect.iscoroutine(back):
        back.close()  # or Python complains that nobody awaited it
        return UNAWAITED, None
    return back, None


@dataclass(frozen=True, slots=True)
class _Unusable:
    """What came back in place of an answer, and what to do about it."""

    observed: str
    words: str

    def __repr__(self) -> str:
        return self.observed


UNAWAITED = _Unusable(
    "a coroutine that nobody awaited",
    "Your method returned a coroutine: it needs an await before self._request. Without it nothing is sent.",
)
NOT_ASYNC = _Unusable("nothing to await", "Callers await your method: write async def, and await self._request in it.")


def _said(back: object, error: Exception | None) -> str:
    if error is not None:
        return f"{type(error).__name__}: {error}"
    if isinstance(back, list):
        return f"{len(back)} row{'s' * (len(back) != 1)}"
    return repr(back)


async def inserted(answer: Callable[[str, str], Any]) -> list[Finding]:
    """Insert a row, three rows, and one that the server refuses, and look at the table each time."""
    async with _at_a_lab(answer) as (db, ours, lab):
        lab.reset()
        back, error = await _tried(db.insert("contests", _row(0, "One")))
        requests = lab.witness().served
        there = await ours.select("contests", filters={"id": gte(FIRST)})
        found = [_is_there(there, back, error, requests)]
        if found[0].ok:
            found.append(_came_back(there, back))
        if not all(finding.ok for finding in found):
            return found
        lab.reset()
        back, error = await _tried(db.insert("contests", [_row(place, "Many") for place in (1, 2, 3)]))
        requests = lab.witness().served
        there = await ours.select("contests", filters={"title": "Many"})
        found.append(_all_at_once(requests, len(there), error))
        back, error = await _tried(db.insert("contests", _row(0, "One")))
        return [*found, _told("the same row again", "ApiError 409", back, error)]


def _is_there(there: list[Row], back: object, error: Exception | None, requests: int) -> Finding:
    ok = len(there) == 1
    words = "No row was added. POST adds rows; pass the row as json=."
    if isinstance(back, _Unusable):
        words = back.words
    elif requests > 1:
        words = (
            f"{requests} requests for one row: a loop over a mapping goes through its columns. Pass rows on unchanged."
        )
    elif error is not None and not requests:
        words = (
            f"Nothing was sent: {error}. Let self._request send it; it creates the httpx client if there is none yet."
        )
    elif error is not None:
        words = f"No row was added: {error}. POST adds rows; pass the row itself as json=."
    return Finding("one row, in the table", "1 row", _said(there, None if ok else error), ok, "" if ok else words)


def _came_back(there: list[Row], back: object) -> Finding:
    ok = bool(there) and back == there
    words = "Return what the server stored: a list with the row in it."
    if back == []:
        words = (
            "Nothing came back. The server sends stored rows only when it is asked to: prefer='return=representation'."
        )
    elif back is None:
        words = "Your method returns None. Is there a return before the await?"
    elif isinstance(back, list) and back and "status" not in back[0]:
        words = "This is what you sent, not what the server stored. Return the result of _request: it has more columns."
    expected = "1 row as stored, with status 'upcoming'"
    return Finding("what insert returned", expected, _as_stored(back), ok, "" if ok else words)


def _as_stored(back: object) -> str:
    if isinstance(back, list) and len(back) == 1 and isinstance(back[0], dict):
        status = back[0].get("status")
        return f"1 row, {f'with status {status!r}' if status else 'without a status'}"
    return _said(back, None)


def _all_at_once(requests: int, there: int, error: Exception | None) -> Finding:
    ok = error is None and (requests, there) == (1, 3)
    words = "Pass the list on unchanged: PostgREST takes one row or many in one request, and adds all of them or none."
    if requests > 1:
        words = f"It took {requests} requests. If the second is refused, you have half of an insert. {words}"
    observed = f"{there} rows by {requests} request{'s' * (requests != 1)}"
    observed += f", {type(error).__name__}: {error}" if error else ""
    return Finding("a list of three rows", "3 rows by 1 request", observed, ok, "" if ok else words)


def _told(what: str, expected: str, back: object, error: Exception | None) -> Finding:
    ok = isinstance(error, ApiError)
    words = (
        "The server refused, and the caller was not told. _request raises for every error status: let the error pass."
    )
    if isinstance(back, list) and back:
        words = "The row existed, and yours has overwritten it: a resolution=… in prefer makes it an upsert."
    return Finding(what, expected, _said(back, error), ok, "" if ok else words)


async def updated(answer: Callable[[str, str], Any]) -> list[Finding]:
    """Update rows beside others that look alike, with one condition and with two, and with a value that is refused."""
    async with _at_a_lab(answer) as (db, ours, _):
        alike = [_row(0, "R&D"), _row(1, "R"), _row(2, "R&D, Round 2")]
        await ours.insert("contests", [one | {"prize": 1, "host": "here"} for one in alike])
        back, error = await _tried(db.update("contests", {"prize": 5000}, {"title": "R&D"}))
        now = await ours.select("contests", filters={"id": gte(FIRST), "prize": 5000}, columns="title")
        found = [_the_one(sorted(row["title"] for row in now), back, error)]
        if not found[0].ok:
            return found
        found.append(_as_now(back))
        back, error = await _tried(db.update("contests", {"category": "both"}, {"host": "here", "title": "R"}))
        both = await ours.select("contests", filters={"category": "both"}, columns="title")
        found.append(_both(sorted(row["title"] for row in both), error))
        back, error = await _tried(db.update("contests", {"title": None}, {"id": FIRST}))
        return [*found, _told("a title of None, which the table refuses", "ApiError 400", back, error)]


def _the_one(changed: list[str], back: object, error: Exception | None) -> Finding:
    ok = changed == ["R&D"]
    words = "The wrong row has changed."
    if changed == ["R"]:
        words = (
            "The & ended the value, so the row 'R' was changed by mistake. Pass the filters as params=, "
            "and httpx escapes them."
        )
    elif isinstance(back, _Unusable):
        words = back.words
    elif error is not None and "(5000)" in str(error):
        words = "The new value came as a filter: new values are the body (json=), filters are the query (params=)."
    elif error is not None and "PGRST100" in str(error):
        words = "A filter is written operator, dot, value: the parameter title has the text 'eq.R&D'."
    elif error is not None:
        words = f"The server refused: {error}. PATCH changes rows; pass the filters as params=, new values as json=."
    elif back == []:
        words = (
            "The filter fits no row. httpx escapes what is in params=, and here quotation marks would be a "
            "part of the title: the parameter is 'eq.R&D', without changes."
        )
    elif not changed:
        words = "No row has changed. PATCH changes rows; pass the filters as params=, new values as json=."
    observed = ", ".join(map(repr, changed)) if changed else _said("no row", error) if error else "no row"
    return Finding("rows changed by the filter title = 'R&D'", "'R&D'", observed, ok, "" if ok else words)


def _as_now(back: object) -> Finding:
    ok = isinstance(back, list) and len(back) == 1 and back[0].get("prize") == 5000
    words = "Return the rows as they are now, as insert does, with prefer='return=representation'."
    return Finding("what update returned", "1 row", _said(back, None), ok, "" if ok else words)


def _both(changed: list[str], error: Exception | None) -> Finding:
    ok = changed == ["R"]
    words = "Each filter is a parameter of its own, and a row must fit them all."
    if len(changed) > 1:
        words = f"{len(changed)} rows changed: one of the two filters got lost. {words}"
    observed = ", ".join(map(repr, changed)) if changed else _said("no row", error) if error else "no row"
    return Finding("rows changed by host = 'here' and title = 'R'", "'R'", observed, ok, "" if ok else words)


EXERCISES = (
    Exercise(
        "04a",
        "write insert",
        (
            "Everything goes through self._request. It needs a method, the table, and the rows as json=.",
            "return await self._request('POST', table, json=rows, prefer=...). Which preference asks "
            "for the stored rows?",
        ),
        inserted,
    ),
    Exercise(
        "04b",
        "write update",
        (
            "The new values are the body (json=). The filters are the query (params=): columns and their conditions.",
            "params={column: f'eq.{value}' for column, value in filters.items()}, and the method is PATCH.",
        ),
        updated,
    ),
)
