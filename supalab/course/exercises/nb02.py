"""Notebook 02: a learner's coroutine goes in, calls of it beside a ticker at a lab say who lets the loop breathe."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from supalab.course.check import Exercise
from supalab.course.feedback import Finding
from supalab.course.loop_lag import Heartbeat, heartbeat
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.settings import Settings

__all__ = ["EXERCISES"]

LATENCY_S = 0.15
CALLERS = 8
#: A thread pool has 5 threads on the smallest machine.
TOGETHER = 4
#: What blocks holds the loop for a whole latency at least; a busy machine makes a ticker late by much less.
MOST_LAG_S = 0.6 * LATENCY_S
LOOKS = 3
ROWS = 3

Fetch = Callable[[str, dict[str, str]], Any]


async def fetched(fetch: Fetch) -> list[Finding]:
    """Call ``fetch(url, headers)`` once, then by several callers at once beside a ticker."""
    if not callable(fetch):
        return [_result(fetch, "Give check() the function itself, by its name: fetch.")]
    async with Lab(latency=LATENCY_S) as lab:
        settings = Settings(lab.url, lab.key)
        url = f"{settings.base}/contests?select=id&order=id&limit={ROWS}"
        first = fetch(url, settings.headers)
        if not inspect.isawaitable(first):
            words = "It is a plain function now. Callers await it, so it must stay `async def`."
            return [Finding("what a call gives", "something to await", f"a plain {type(first).__name__}", False, words)]
        try:
            rows = await first
        except (AttributeError, TypeError) as error:
            said = _misplaced(error)
            if said is None:
                raise
            return [said]
        if inspect.isawaitable(rows):
            # A future belongs to work that has begun and will end by itself; a coroutine never begins.
            if inspect.iscoroutine(rows):
                rows.close()
            return [_result(rows, "The result is something to await, not the rows. Put an await in front of it.")]
        if rows != [{"id": number} for number in range(1, ROWS + 1)]:
            return [_result(rows, _no_rows(rows))]
        for _ in range(LOOKS):
            beat, seen = await _at_once(fetch, url, settings.headers, lab)
            if seen.peak <= 1 or beat.longest_lag <= MOST_LAG_S:
                break  # else they overlapped, and it may have been the machine: look again before saying a word
    return [_result(rows), _lag(beat, seen), _overlap(seen)]


def _misplaced(error: AttributeError | TypeError) -> Finding | None:
    """What is said of an await, or a pair of brackets, in the wrong place; None for any other error."""
    if isinstance(error, AttributeError):
        if not inspect.iscoroutine(error.obj):
            return None
        error.obj.close()  # one that never began would complain
        return _result(error.obj, "Await it first, in parentheses: (await …).json().")
    text = str(error)
    if "'await' expression" in text or "can't be awaited" in text:  # up to Python 3.13, and later
        words = (
            "An await in front of a plain call does not move it to another thread: requests.get(…) has already waited "
            "on the loop's own thread when the await begins. Which function runs a call in another thread?"
        )
    elif "not callable" in text:
        words = (
            "The call ran first, on the loop's own thread, and you passed its result. Pass the "
            "function without parentheses, and its arguments after it."
        )
    else:
        return None
    return Finding("your code", "to run", f"TypeError: {text}", False, words)


def _no_rows(found: object) -> str:
    if found is None:
        return "The function returns nothing. Is there a return?"
    if isinstance(found, dict):
        return "The lab refused the request, because it saw no key. Pass the headers by name: headers=headers."
    return "The rows are in the response's body: .json() turns it into a list."


async def _at_once(fetch: Fetch, url: str, headers: dict[str, str], lab: Lab) -> tuple[Heartbeat, Witness]:
    await asyncio.to_thread(lab.reset)
    beat = await heartbeat("yours", *(fetch(url, headers) for _ in range(CALLERS)))
    return beat, await asyncio.to_thread(lab.witness)


def _result(found: object, words: str = "") -> Finding:
    said = "None" if found is None else f"a {type(found).__name__}"
    said = f"{len(found)} rows" if isinstance(found, list) else said
    return Finding("the result of one call", f"a list of {ROWS} rows", said, not words, words)


def _lag(beat: Heartbeat, seen: Witness) -> Finding:
    ok = beat.longest_lag <= MOST_LAG_S
    words = ""
    if not ok and seen.peak <= 1:
        words = (
            "While a call waited for the server, no other task could run: requests.get still runs on the loop's own "
            "thread. Is the function called there, and only its result passed on?"
        )
    elif not ok:
        words = (
            "The requests overlap, but something else blocked the loop. Creating a whole client for each call does "
            "this, because it loads certificates each time."
        )
    observed = f"up to {1000 * max(beat.longest_lag, 0):.0f} ms late"
    return Finding(
        "the lag of a ticker during the calls", f"at most {1000 * MOST_LAG_S:.0f} ms late", observed, ok, words
    )


def _overlap(seen: Witness) -> Finding:
    ok = seen.peak >= TOGETHER
    words = "" if ok else "Some calls wait for others. Is there a small pool, a lock or a semaphore?"
    if seen.peak <= 1:
        words = "The lab saw one request at a time: each call waits for the one before it to end."
    return Finding(f"{CALLERS} calls at once, in flight at the lab", f"{TOGETHER} or more", str(seen.peak), ok, words)


EXERCISES = (
    Exercise(
        "02a",
        "make a blocking coroutine stop blocking",
        (
            "The call must not run on the loop's thread. asyncio.to_thread runs a function in another thread, and you "
            "await its result.",
            "Pass the function, not its result: response = await asyncio.to_thread(requests.get, url, "
            "headers=headers). Then response.json() is fast and may run here.",
        ),
        fetched,
    ),
)
