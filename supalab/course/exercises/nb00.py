"""The primer's exercise: calls that run together, with a limit."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Callable, Sequence
from typing import Any

from supalab.course.check import Exercise
from supalab.course.feedback import Finding

__all__ = ["EXERCISES"]

LIMIT, CALLS, EACH_S = 3, 10, 0.1

IN_TURN = "The calls run one after another. asyncio.gather starts them together."
NO_LIMIT = "All calls run at the same time. Put `async with` a Semaphore(3) around each call of fetch."
TOO_FEW = "There is room for 3 calls at the same time: asyncio.Semaphore(3), with one semaphore for all calls."
TOO_MANY = "More than 3 calls run at the same time. Is there one semaphore for all calls, and does it count to 3?"
NOT_AWAITED = "The result is something to await, not a list. Put an await in front of asyncio.gather(…)."
RESULTS = "Return the list of results: gather returns them in the order of its arguments."
COROUTINES = "These are coroutines that never ran. fetch(number) only makes one; asyncio.gather runs them."


async def limited(answer: Callable[..., Any]) -> list[Finding]:
    """Give the learner's function a fetch that counts how many of its calls overlap."""
    now = most = 0

    async def fetch(number: int) -> int:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(EACH_S)
        now -= 1
        return 10 * number

    numbers = list(range(CALLS, 0, -1))
    asked = answer(fetch, numbers)
    if not inspect.isawaitable(asked):
        words = "Callers await it: write `async def`."
        return [Finding("fetch_all(…)", "something to await", type(asked).__name__, False, words)]
    began = time.perf_counter()
    results = await asked
    took = time.perf_counter() - began
    return [_results(results, [10 * number for number in numbers]), _together(most, took)]


def _results(results: Any, wanted: Sequence[int]) -> Finding:
    what, expected = f"the results of {CALLS} numbers", f"a list: {wanted[0]}, {wanted[1]}, … {wanted[-1]}"
    if inspect.isawaitable(results):
        if inspect.iscoroutine(results):
            results.close()
        return Finding(what, expected, "something that was never awaited", False, NOT_AWAITED)
    lazy = [one for one in results if inspect.iscoroutine(one)] if isinstance(results, (list, tuple)) else []
    for one in lazy:
        one.close()  # or Python complains that nobody awaited it
    if lazy:
        return Finding(what, expected, f"{len(lazy)} coroutines", False, COROUTINES)
    ok = isinstance(results, (list, tuple)) and list(results) == list(wanted)
    return Finding(what, expected, repr(results)[:60], ok, "" if ok else RESULTS)


def _together(most: int, took: float) -> Finding:
    ok = most == LIMIT
    words = {0: "fetch was never run.", 1: IN_TURN, CALLS: NO_LIMIT}.get(most, TOO_FEW if most < LIMIT else TOO_MANY)
    observed = f"{most}; {CALLS} calls of {EACH_S:g} s took {took:.1f} s"
    return Finding("calls at the same time", str(LIMIT), observed, ok, "" if ok else words)


EXERCISES = (
    Exercise(
        "00a",
        "run them together, but not all at once",
        (
            "Two cells above have what you need: the one with gather, and the one with the semaphore.",
            "Make gate = asyncio.Semaphore(3). Write an inner `async def limited(number)` that awaits fetch(number) "
            "inside `async with gate`. Then return await asyncio.gather(*(limited(number) for number in numbers)).",
        ),
        limited,
    ),
)
