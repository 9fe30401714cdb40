"""Notebook 05: a class that closes itself, or a function whose callers leave, goes in; sockets and slots are judged."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import httpx

from supalab.course.cancelled import Cancelled
from supalab.course.check import Exercise, NotDone
from supalab.course.feedback import Finding
from supalab.course.sockets import open_sockets
from supalab.lab.handle import Lab

__all__ = ["EXERCISES"]

LATENCY_S, LEAVERS = 0.4, 3
#: Seconds that closing a socket, or the lab's last request, may take; a bound, not a measure.
SOON_S = 2.0


async def closed(answer: Callable[[str, str], Any]) -> list[Finding]:
    """Use the learner's client in ``async with`` in every way there is, and count its sockets each time."""
    async with Lab() as lab:
        made: list[Any] = []

        def fresh() -> Any:
            made.append(answer(lab.url, lab.key))
            return made[-1]

        try:
            first = await _entered_or_not(fresh(), lab)
            if not all(finding.ok for finding in first):
                return first  # the rest would say the same again
            return [*first, *await _with_an_error(fresh(), lab), await _unused(fresh()), await _afterwards(fresh())]
        finally:
            for db in made:
                if db._client is not None:
                    await db._client.aclose()


async def _entered_or_not(db: Any, lab: Lab) -> list[Finding]:
    try:
        return await _entered(db, lab)
    except AttributeError as error:
        if error.name != "close" or not isinstance(error.obj, httpx.AsyncClient):
            raise
        words = "The httpx client has no close(): its own method is aclose(), and you must await it."
        return [Finding("async with … as db", "to run", f"AttributeError: {error}", False, words)]
    except TypeError as error:  # async with found nothing to await, a method missing, or one that takes too little
        words = (
            "async with awaits __aenter__ and __aexit__, and __aexit__ awaits close: all three are "
            "there, and async def. "
            "__aexit__ takes three values more than self: the error's class, the error and its traceback."
        )
        return [Finding("async with … as db", "to run", f"TypeError: {error}", False, words)]


async def _entered(db: Any, lab: Lab) -> list[Finding]:
    async with db as got:
        found = [_same(got, db)]
        if not found[0].ok:
            return found
        await db.select("contests", limit="1")
        inside = open_sockets(lab)
    left = await _left(lab)
    ok = left == 0 and inside > 0
    words = (
        "The block has ended and its socket is still open: __aexit__ must await self.close(), and close must await "
        "self._client.aclose(), with an error in the block or without."
    )
    observed = f"{inside} inside, {left} after the block"
    return [*found, Finding("sockets to the lab", "1 inside, 0 after the block", observed, ok, "" if ok else words)]


def _same(got: object, db: object) -> Finding:
    ok = got is db
    observed = "the client itself" if ok else repr(got)
    words = "" if ok else "`as db` names what __aenter__ returns: return self."
    return Finding("async with … as db", "the client itself", observed, ok, words)


async def _left(lab: Lab) -> int:
    """The sockets still open; one that is being closed has a moment."""
    for _ in range(20):
        if open_sockets(lab) == 0:
            break
        await asyncio.sleep(0.01)
    return open_sockets(lab)


async def _with_an_error(db: Any, lab: Lab) -> list[Finding]:
    reached = "nothing: the error was gone"
    try:
        async with db:
            await db.select("contests", limit="1")
            raise LookupError
    except LookupError:
        reached = "the error"
    ok, left = reached == "the error", await _left(lab)
    words = "" if ok else "A true value from __aexit__ swallows the error of the block. Let __aexit__ return None."
    closing = "" if left == 0 else "Close in any case, also after an error in the block."
    what = "an error in the block"
    return [
        Finding(f"{what}: what the caller sees", "the error", reached, ok, words),
        Finding(f"{what}: sockets left", "0", str(left), left == 0, closing),
    ]


async def _unused(db: Any) -> Finding:
    observed = "fine"
    try:
        async with db:
            pass
        await db.close()
    except NotDone:
        raise
    except Exception as error:
        observed = f"{type(error).__name__}: {error}"
    ok = observed == "fine"
    words = "" if ok else "Nothing was opened yet, so there is nothing to close. Check whether self._client is None."
    return Finding("a client that was never used, closed twice", "fine", observed, ok, words)


async def _afterwards(db: Any) -> Finding:
    async with db:
        await db.select("contests", limit="1")
    try:
        await db.select("contests", limit="1")
    except Exception as error:
        observed = f"{type(error).__name__}: {error}"
    else:
        observed = "rows, over a new connection"
    ok = not observed.startswith("rows")
    words = (
        "After closing, the next request created a new httpx client, and nobody will close that one. Keep the closed "
        "client in self._client: httpx refuses to use it."
    )
    return Finding("a request after the end", "an error", observed, ok, "" if ok else words)


async def walked_out(answer: Callable[[str, str], Any]) -> list[Finding]:
    """Let the learner's callers leave a lab, and ask the lab who hung up and when the new caller came."""
    async with Lab(latency=LATENCY_S) as lab:
        try:
            took = await answer(lab.url, lab.key)
        except (asyncio.CancelledError, TimeoutError, AttributeError) as error:
            task = asyncio.current_task()
            words = _broke_off(error)
            if not words or (task is not None and task.cancelling()):
                raise  # somebody stops the cell, or the error speaks for itself
            return [Finding("your code", "to run", f"{type(error).__name__}: {error}".rstrip(": "), False, words)]
        left = await _left(lab)
        async with asyncio.timeout(SOON_S):
            # Asked, not waited for: the lab is another process.
            while (await asyncio.to_thread(lab.now)).current:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        seen = Cancelled(0.0, 0.0, lab.witness())
    found = [_asked(seen.witness.served)]
    if found[0].ok:
        came = _came(seen.reached)
        # Whoever waited for a slot has another number to tell, and was told why.
        found += [_hung_up(seen.witness.abandoned), came, *([_seconds(took)] if came.ok else []), _tidy(left)]
    return found


def _broke_off(error: BaseException) -> str:
    """What ended the learner's function before it could return, in words; nothing for what is not peculiar to it."""
    if isinstance(error, asyncio.CancelledError):
        return (
            "If you await a cancelled task, also with gather, you get its CancelledError. asyncio.wait "
            "waits without it."
        )
    if isinstance(error, TimeoutError):
        return (
            "The timeout cancelled the reads, and its TimeoutError ended your function too. Catch it, "
            "and then read once more."
        )
    if getattr(error, "name", "") == "cancel":
        return (
            "A coroutine cannot be cancelled before it runs as a task. asyncio.create_task starts it and "
            "returns the task."
        )
    return ""


#: What a number of requests at the lab tells of the function that made them.
ASKED = {
    0: "No request came to the check's lab. Use the url and key that leave is given, not the notebook's own lab.",
    1: "Only the last request came. A task that is cancelled before it ever ran sends nothing: await "
    "asyncio.sleep(0.1) in between.",
    LEAVERS: "The last request never came. Is there an await before its select?",
    LEAVERS + 2: "One request too many: cancel_three begins with a read of its own, to warm up. Leave that one out.",
}


def _asked(served: int) -> Finding:
    words = ASKED.get(served, f"Start {LEAVERS} reads, wait 0.1 s, cancel them, and then read once more.")
    ok = served == LEAVERS + 1
    return Finding("requests at the lab", f"{LEAVERS}, and 1 more", str(served), ok, "" if ok else words)


def _hung_up(abandoned: int) -> Finding:
    ok = abandoned == LEAVERS
    words = (
        "No client disconnected. Either the reads were not cancelled, or threads finished their requests: a "
        "thread cannot be cancelled. Which client can disconnect?"
    )
    return Finding("clients that disconnected", str(LEAVERS), str(abandoned), ok, "" if ok else words)


def _came(reached: float) -> Finding:
    ok = reached < 0.8 * LATENCY_S
    words = "The last request had to wait for a slot until the first three requests were done." if not ok else ""
    expected = f"before the others' {LATENCY_S:g} s were over"
    return Finding("the last request reached the lab", expected, f"after {reached:.2f} s", ok, words)


def _seconds(took: object) -> Finding:
    number = isinstance(took, (int, float)) and not isinstance(took, bool)
    ok = number and 0.8 * LATENCY_S <= float(took) <= 1.6 * LATENCY_S  # type: ignore[arg-type]
    words = "Return how many seconds the last read took: measure it with time.perf_counter()."
    observed = f"{took:.2f} s" if number else repr(took)
    return Finding("what your function returned", f"about {LATENCY_S:g} s", observed, bool(ok), "" if ok else words)


def _tidy(left: int) -> Finding:
    words = "" if left == 0 else "Your client is still open. Use it in `async with`, as in this notebook."
    return Finding("sockets left open", "0", str(left), left == 0, words)


EXERCISES = (
    Exercise(
        "05a",
        "write close, __aenter__ and __aexit__",
        (
            "close awaits self._client.aclose() if there is a client; __aenter__ returns an object; __aexit__ closes.",
            "__aenter__: return self. __aexit__: await self.close(), and no return. close: only if self._client is not "
            "None, and keep it in self._client.",
        ),
        closed,
    ),
    Exercise(
        "05b",
        "cancel and continue",
        (
            "asyncio.create_task starts a read without waiting; task.cancel() ends it. Which client frees its slots?",
            "async with SupabaseAsync(url, key, limit=3): three tasks, await asyncio.sleep(0.1), cancel each, await "
            "asyncio.wait(tasks), then time one more select.",
        ),
        walked_out,
    ),
)
