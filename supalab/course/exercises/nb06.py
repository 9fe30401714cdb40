"""Notebook 06: a learner's function over an httpx client goes in and meets each fault; its caller's lot is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, TypeAlias

import httpx

from supalab.course.check import Exercise, NotDone
from supalab.course.faulty_servers import faulty_server
from supalab.course.feedback import Finding
from supalab.errors import ClientError
from supalab.lab.handle import Lab

__all__ = ["EXERCISES"]

Answer: TypeAlias = Callable[[httpx.AsyncClient, str], Awaitable[Any]]

LATENCY_S, TIMEOUT_S, PATIENCE_S = 0.5, 0.15, 5.0
ROWS, WANTED = "rows", "ClientError"

SLIPPED = (
    "The names in your except clause do not cover what httpx raises: its errors are neither requests' errors nor "
    "OSErrors. Which class is the base of a refused connection, a timeout and an error status?"
)
ONLY_STATUS = (
    "HTTPStatusError is raised for a response with an error status. A fault before the response, such as a refused "
    "connection or a timeout, has another name; one base class covers both."
)
AS_ROWS = "The server's error was returned as if it were rows: response.raise_for_status() must come first."
NOT_JSON = (
    "The body is HTML, not JSON: response.json() then raises a ValueError, which is not an error of httpx. "
    "In requests it was a RequestException."
)
HIDDEN = (
    "The client was closed. This is a mistake in the program, and it was reported as a failed request, so people "
    "would look for it at the server. Catch what a request can raise, not every Exception."
)
SWALLOWED = (
    "Your code swallowed CancelledError. It is a BaseException, and catching it breaks every timeout around your "
    "function."
)
SILENT = "The fault was caught, and the caller was not told. After except, write raise ClientError(…) from error."
RETURNED = "You return the error, and the caller takes it for a result. Raise it."
NO_ROWS = "If the request succeeds, the caller should get the rows: return response.json()."
#: Python reads what stands after except when there is an error, and not before.
NO_CLAUSE = {
    "NameError": "The name after except is not known here: is its module imported, and is it spelled correctly?",
    "AttributeError": "The name after except is a name that its module does not have: look at the table above for the "
    "names of the errors.",
    "TypeError": "After except comes one class of errors, or several in parentheses: except (This, That) as error.",
}
#: The commonest reasons why not even rows come back.
NO_ROWS_BECAUSE = {
    "AttributeError": "client.get gives a coroutine: await it to get the response.",
    "TypeError": "Is there an await before response.json()? In httpx this is an ordinary method.",
    "ClientError": "The request succeeded, so the error is a mistake in the function, and its own "
    "except has hidden which one.",
}


async def errors_seen(answer: Answer) -> list[Finding]:
    """Let each fault happen to the learner's function, and then a closed client and a cancellation."""
    async with Lab() as lab, _client(lab, PATIENCE_S) as client:
        url = f"{lab.url}/rest/v1/contests?limit=1"
        found = [_good(await _seen(answer(client, url)))]
        if not found[0].ok:
            return found
        found.append(_status(await _seen(answer(client, f"{lab.url}/rest/v1/no_such_table"))))
        if found[1].observed in NO_CLAUSE:
            return found  # each fault would say the same
        with faulty_server("refuses") as refuses, faulty_server("closes") as closes, faulty_server("html") as page:
            lost = {
                "connection refused": await _seen(answer(client, refuses)),
                "connection closed by the server": await _seen(answer(client, closes)),
                **await _late(answer, lab, url),
            }
            found += _transport(lost, only_status=found[1].ok)
            found.append(_page(await _seen(answer(client, page)), told=found[1].words))
        found.append(_cancelled(await _after_cancelling(answer, client, url)))
    return [*found, _own_mistake(await _seen(answer(client, url)))]


def _client(lab: Lab, timeout: float | httpx.Timeout, max_connections: int = 10) -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=max_connections)
    # A proxy that the machine's settings name has no business between this process and its lab.
    return httpx.AsyncClient(headers={"apikey": lab.key}, timeout=timeout, limits=limits, trust_env=False)


async def _seen(asked: Awaitable[Any]) -> str:
    """What the caller of the learner's function sees: rows, or the name of an error."""
    try:
        back = await asked
    except NotDone:
        raise
    except ClientError:
        return WANTED
    except Exception as error:
        return type(error).__name__
    if isinstance(back, BaseException):
        return f"{type(back).__name__}, returned"
    return ROWS if isinstance(back, list) else repr(back)


async def _late(answer: Answer, lab: Lab, url: str) -> dict[str, str]:
    """A late answer, and no connection to be had: the lab is slow while this runs."""
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
    return {"the answer is late": late, "no connection is free": no_slot}


async def _after_cancelling(answer: Answer, client: httpx.AsyncClient, url: str) -> str:
    """Cancel a caller while the lab, still slow, works on its request."""

    async def asks() -> Any:
        return await answer(client, url)

    caller = asyncio.create_task(asks())
    await asyncio.sleep(TIMEOUT_S)
    caller.cancel()
    with suppress(asyncio.CancelledError):
        return await _seen(caller)
    return "CancelledError"


def _good(seen: str) -> Finding:
    return Finding("success", ROWS, seen, seen == ROWS, "" if seen == ROWS else NO_ROWS_BECAUSE.get(seen, NO_ROWS))


def _status(seen: str) -> Finding:
    ok = seen == WANTED
    return Finding("status 404", WANTED, seen, ok, "" if ok else _why_not(seen, SLIPPED, AS_ROWS))


def _why_not(seen: str, slipped: str, otherwise: str) -> str:
    if seen.endswith("returned"):
        return RETURNED
    if seen in (ROWS, "None"):
        return SILENT
    return NO_CLAUSE.get(seen, slipped) if seen.endswith("Error") else otherwise


def _transport(lost: dict[str, str], *, only_status: bool) -> list[Finding]:
    found, said = list[Finding](), not only_status  # once is enough: the reason is the same for each
    for what, seen in lost.items():
        ok = seen == WANTED
        found.append(Finding(what, WANTED, seen, ok, "" if ok or said else ONLY_STATUS))
        said = said or not ok
    return found


def _page(seen: str, told: str) -> Finding:
    ok, words = seen == WANTED, _why_not(seen, NOT_JSON, NOT_JSON)
    return Finding("HTML instead of JSON", WANTED, seen, ok, "" if ok or words == told else words)


def _cancelled(seen: str) -> Finding:
    ok = seen == "CancelledError"
    return Finding("the caller is cancelled", "CancelledError", seen, ok, "" if ok else SWALLOWED)


def _own_mistake(seen: str) -> Finding:
    ok = seen == "RuntimeError"
    return Finding("our own mistake: a closed client", "RuntimeError", seen, ok, "" if ok else HIDDEN)


EXERCISES = (
    Exercise(
        "06a",
        "catch what httpx raises",
        (
            "There are three groups: errors of httpx, with one base class; a body that is not JSON; "
            "and everything else, "
            "which you should not catch.",
            "except (httpx.HTTPError, ValueError) as error: the first is the base of status and transport errors, "
            "the second is what response.json() raises.",
        ),
        errors_seen,
    ),
)
