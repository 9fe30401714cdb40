"""Judge methods that send requests: insert (04a), update (04b), and what their callers see of a fault (06a)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, TypeAlias

import httpx

from supalab.clients.real import SupabaseAsync
from supalab.course.check import awaited, described, equal, finding, named, outcome, required, stop
from supalab.course.exercises.clients import small_client
from supalab.course.faulty_servers import faulty_server
from supalab.course.feedback import Finding
from supalab.errors import ApiError, ClientError
from supalab.filters import gte
from supalab.lab.handle import Lab

# 04a and 04b: what a learner's method changes in the table.

#: Ids that the shipped table does not have.
FIRST = 900_001


def _row(place: int, title: str) -> dict[str, Any]:
    return {"id": FIRST + place, "title": title, "url": f"https://contests.test/yours/{place}"}


@asynccontextmanager
async def _at_a_lab(make: Callable[[str, str], Any]) -> AsyncIterator[tuple[Any, SupabaseAsync, Lab]]:
    """Yield the learner's client, and one of ours that looks into the table."""
    async with Lab() as lab, SupabaseAsync(lab.url, lab.key) as ours, small_client(make, lab) as db:
        yield db, ours, lab


async def _tried(asked: Any, what: str) -> tuple[Any, Exception | None]:
    """Return what a method returned, or the refusal of the server; a plain method or its own error ends the check."""
    back, error = await outcome(awaited(asked, what, "rows"))
    if isinstance(error, AttributeError) and error.obj is None:
        stop("your code", "to run", named(error), "not_sent")
    if error is not None and not isinstance(error, ApiError):
        raise error
    return back, error


def _said(back: object, error: Exception | None) -> str:
    return named(error) if error is not None else described(back)


def _told(what: str, expected: str, back: object, error: Exception | None) -> Finding:
    overwritten = isinstance(back, list) and bool(back)
    ok = isinstance(error, ApiError)
    return finding(what, expected, _said(back, error), ok).because("not_told", overwritten=overwritten)


async def inserted(answer: Callable[[str, str], Any]) -> AsyncIterator[Finding]:
    """Insert a row, three rows, and one that the server refuses, and look at the table each time."""
    async with _at_a_lab(answer) as (db, ours, lab):
        lab.reset()
        back, error = await _tried(db.insert("contests", _row(0, "One")), "what insert returned")
        requests = lab.witness().served
        there = await ours.select("contests", filters={"id": gte(FIRST)})
        yield required(_is_there(there, requests, error))
        yield required(_came_back(there, back))
        lab.reset()
        back, error = await _tried(db.insert("contests", [_row(place, "Many") for place in (1, 2, 3)]), "a list")
        requests = lab.witness().served
        there = await ours.select("contests", filters={"title": "Many"})
        observed = f"{described(there)} by {requests} request{'s' * (requests != 1)}"
        yield finding(
            "a list of three rows",
            "3 rows by 1 request",
            f"{observed}, {named(error)}" if error else observed,
            error is None and (requests, len(there)) == (1, 3),
        ).because("list_unchanged", say={"requests": requests}, one_by_one=requests > 1)
        back, error = await _tried(db.insert("contests", _row(0, "One")), "the same row again")
        yield _told("the same row again", "ApiError 409", back, error)


def _is_there(there: Sequence[Any], requests: int, error: Exception | None) -> Finding:
    one, say = len(there) == 1, {"requests": requests, "error": str(error).rstrip(".")}
    found = finding("one row, in the table", "1 row", _said(there, None if one else error), one)
    not_sent = error is None and requests == 0
    return found.because("not_added", say, by_columns=requests > 1, not_sent=not_sent, refused=error is not None)


def _came_back(there: Sequence[Any], back: Any) -> Finding:
    one = back[0] if isinstance(back, list) and len(back) == 1 and isinstance(back[0], dict) else None
    status = one.get("status") if one else None
    how = f"with status {status!r}" if status else "without a status"
    expected, observed = "1 row as stored, with status 'upcoming'", f"1 row, {how}" if one else described(back)
    return finding("what insert returned", expected, observed, back == there).because(
        "as_stored",
        not_asked_for=back == [],
        no_return=back is None,
        as_sent=one is not None and not status,
        nested=isinstance(back, list) and any(isinstance(row, list) for row in back),
    )


async def updated(answer: Callable[[str, str], Any]) -> AsyncIterator[Finding]:
    """Update some of several similar rows, with one condition and with two, and with a value that is refused."""
    async with _at_a_lab(answer) as (db, ours, _):

        async def titles(**filters: Any) -> list[str]:
            return sorted(row["title"] for row in await ours.select("contests", filters=filters, columns="title"))

        alike = [_row(0, "R&D"), _row(1, "R"), _row(2, "R&D, Round 2")]
        await ours.insert("contests", [one | {"prize": 1, "host": "here"} for one in alike])
        back, error = await _tried(db.update("contests", {"prize": 5000}, {"title": "R&D"}), "what update returned")
        yield required(_the_one(await titles(id=gte(FIRST), prize=5000), back, error))
        ok = isinstance(back, list) and len(back) == 1 and back[0].get("prize") == 5000
        yield finding("what update returned", "1 row", described(back), ok).because("as_now")
        back, error = await _tried(db.update("contests", {"category": "both"}, {"host": "here", "title": "R"}), "rows")
        both = await titles(category="both")
        what, ok = "rows changed by host = 'here' and title = 'R'", both == ["R"]
        observed, say = _changed(both, error), {"rows": len(both)}
        yield finding(what, "'R'", observed, ok).because("each_filter", say=say, one_lost=len(both) > 1)
        back, error = await _tried(db.update("contests", {"title": None}, {"id": FIRST}), "a title of None")
        yield _told("a title of None, which the table refuses", "ApiError 400", back, error)


def _changed(titles: Sequence[str], error: Exception | None) -> str:
    if titles:
        return ", ".join(map(repr, titles))
    return "no row" if error is None else named(error)


def _the_one(changed: Sequence[str], back: object, error: Exception | None) -> Finding:
    return finding(
        "rows changed by the filter title = 'R&D'", "'R&D'", _changed(changed, error), changed == ["R&D"]
    ).because(
        "another_row",
        say={"error": str(error).rstrip(".")},
        not_escaped=changed == ["R"],
        swapped="(5000)" in str(error),
        no_operator="PGRST100" in str(error),
        refused=error is not None,
        fits_no_row=back == [],
        nothing_changed=not changed,
    )


# 06a: what the caller sees of each fault.

Answer: TypeAlias = Callable[[httpx.AsyncClient, str], Awaitable[Any]]

LATENCY_S, TIMEOUT_S, PATIENCE_S = 0.5, 0.15, 5.0
ROWS, WANTED, NO_URL = "rows", "ClientError", "http://contests:port/"
#: Python evaluates the classes after except only when there is an error.
NO_CLAUSE = ("NameError", "AttributeError", "TypeError")


async def errors_seen(answer: Answer) -> AsyncIterator[Finding]:
    """Let each fault happen to the learner's function, and then a cancellation and the program's own mistakes."""
    async with Lab() as lab, _client(lab, PATIENCE_S) as client:
        url = f"{lab.url}/rest/v1/contests?limit=1"
        seen = await _seen(answer(client, url))
        get, json, hidden = seen == "AttributeError", seen == "TypeError", seen == WANTED
        yield required(equal("success", ROWS, seen, "no_rows", await_get=get, await_json=json, hides=hidden))
        seen = await _seen(answer(client, f"{lab.url}/rest/v1/no_such_table"))
        an_error = seen.endswith("Error")
        status = _fault("status 404", seen, "other_class" if an_error else "as_rows")
        yield required(status) if seen in NO_CLAUSE else status  # each fault would say the same
        before_a_response = "only_status" if status.ok else status.reason
        with faulty_server("refuses") as refuses, faulty_server("closes") as closes, faulty_server("html") as page:
            yield _fault("connection refused", await _seen(answer(client, refuses)), before_a_response)
            closed = await _seen(answer(client, closes))
            yield _fault("connection closed by the server", closed, before_a_response)
            late, no_slot = await _late(answer, lab, url)
            yield _fault("a read timeout", late, before_a_response)
            yield _fault("no free connection in time", no_slot, before_a_response)
            yield _fault("HTML instead of JSON", await _seen(answer(client, page)), "not_json")
        seen = await _after_cancelling(answer, client, url)
        yield equal("the caller is cancelled", "CancelledError", seen, "cancel_swallowed")
        seen = await _seen(answer(client, NO_URL))
        yield equal("our own mistake: an invalid URL", "InvalidURL", seen, "mistake_hidden")
    seen = await _seen(answer(client, url))
    yield equal("our own mistake: a closed client", "RuntimeError", seen, "mistake_hidden")


def _client(lab: Lab, timeout: float | httpx.Timeout, max_connections: int = 10) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=max_connections)
    # A proxy from the machine's settings must not come between this process and its lab.
    return httpx.AsyncClient(headers={"apikey": lab.key}, timeout=timeout, limits=limits, trust_env=False)


async def _seen(asked: Awaitable[Any]) -> str:
    """Return what the caller of the learner's function sees: rows, or the name of an error."""
    back, error = await outcome(asked)
    if error is not None:
        return WANTED if isinstance(error, ClientError) else type(error).__name__
    if isinstance(back, BaseException):
        return f"{type(back).__name__}, returned"
    return ROWS if isinstance(back, list) else repr(back)


def _fault(what: str, seen: str, otherwise: str) -> Finding:
    return equal(
        what,
        WANTED,
        seen,
        otherwise,
        returned=seen.endswith("returned"),
        not_told=seen in (ROWS, "None"),
        unknown_name=seen == "NameError",
        not_in_module=seen == "AttributeError",
        no_class=seen == "TypeError",
    )


async def _late(answer: Answer, lab: Lab, url: str) -> tuple[str, str]:
    """Check what the caller sees of a late response and of a full pool; the lab is slow from here on."""
    await asyncio.to_thread(lambda: lab.set(latency=LATENCY_S))
    timeout = httpx.Timeout(TIMEOUT_S, pool=TIMEOUT_S / 3)
    async with _client(lab, timeout) as impatient:
        late = await _seen(answer(impatient, url))
    async with _client(lab, timeout, max_connections=1) as narrow:
        first = asyncio.create_task(narrow.get(url, timeout=PATIENCE_S))
        await asyncio.sleep(TIMEOUT_S / 3)
        no_slot = await _seen(answer(narrow, url))
        first.cancel()
        await asyncio.wait([first])
    return late, no_slot


async def _after_cancelling(answer: Answer, client: httpx.AsyncClient, url: str) -> str:
    """Cancel a caller while the lab, still slow, works on its request."""
    caller = asyncio.ensure_future(answer(client, url))
    await asyncio.sleep(TIMEOUT_S)
    caller.cancel()
    with suppress(asyncio.CancelledError):
        return await _seen(caller)
    return "CancelledError"
