"""Judge coroutines that run together: a semaphore (00a), a loop that is not blocked (02a), a cancellation (05b)."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import AsyncIterator, Callable
from typing import Any
from unittest.mock import patch

from supalab.clients.base import BaseClient
from supalab.course.check import a_function, awaited, described, equal, finding, is_number, named, required, stop
from supalab.course.exercises.clients import sockets_left
from supalab.course.feedback import Finding
from supalab.course.heartbeat import Heartbeat, heartbeat
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.settings import Settings

# 00a: calls that run together, with a limit.

LIMIT, CALLS, EACH_S = 3, 10, 0.1


async def limited(answer: Callable[..., Any]) -> AsyncIterator[Finding]:
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
    wanted = [10 * number for number in numbers]
    expected = f"a list: {wanted[0]}, {wanted[1]}, … {wanted[-1]}"
    began = time.perf_counter()
    results = await awaited(a_function(answer)(fetch, numbers), "fetch_all(…)", expected)
    took = time.perf_counter() - began
    results = list(results) if isinstance(results, (list, tuple)) else results
    never_ran = isinstance(results, list) and any(map(inspect.iscoroutine, results))
    observed = "coroutines" if never_ran else repr(results)[:60]
    what, ok = f"the results of {CALLS} numbers", results == wanted
    yield finding(what, expected, observed, ok).because("results", coroutines=never_ran)
    yield finding(
        "calls at the same time", LIMIT, f"{most}; {CALLS} calls of {EACH_S:g} s took {took:.1f} s", most == LIMIT
    ).because("too_many", never_run=most == 0, one_by_one=most == 1, too_few=most < LIMIT, no_limit=most == CALLS)


# 02a: a coroutine that does not block the loop.

LATENCY_S, CALLERS, ROWS, LOOKS = 0.15, 8, 3, 3
#: A thread pool has 5 threads on the smallest machine.
TOGETHER = 4
#: A blocking call holds the loop for at least a whole latency; a busy machine makes a ticker late by much less.
MOST_LAG_S = 0.6 * LATENCY_S

Fetch = Callable[[str, dict[str, str]], Any]


async def unblocked(fetch: Fetch) -> AsyncIterator[Finding]:
    """Call ``fetch(url, headers)`` once, then by several callers at once together with a ticker."""
    async with Lab(latency=LATENCY_S) as lab:
        settings = Settings(lab.url, lab.key)
        url = f"{settings.base}/contests?select=id&order=id&limit={ROWS}"
        what, expected = "the result of one call", f"a list of {ROWS} rows"
        try:
            rows = await awaited(a_function(fetch)(url, settings.headers), what, expected)
        except (AttributeError, TypeError) as error:
            _misplaced(error)
            raise
        ok, refused = rows == [{"id": number} for number in range(1, ROWS + 1)], isinstance(rows, dict)
        one = finding(what, expected, described(rows), ok).because(
            "body", nothing=rows is None, headers=refused, other_rows=isinstance(rows, list)
        )
        yield required(one)
        for _ in range(LOOKS):
            beat, seen = await _at_once(fetch, url, settings.headers, lab)
            if seen.peak <= 1 or beat.longest_lag <= MOST_LAG_S:
                break  # the calls overlapped, so the machine may be the cause: measure again first
    lag, expected = beat.longest_lag, f"at most {1000 * MOST_LAG_S:.0f} ms late"
    observed = f"up to {1000 * lag:.0f} ms late"
    yield finding("the lag of a ticker during the calls", expected, observed, lag <= MOST_LAG_S).because(
        "overlap_and_block", still_blocks=seen.peak <= 1
    )
    what, ok = f"{CALLERS} calls at once, in flight at the lab", seen.peak >= TOGETHER
    yield finding(what, f"{TOGETHER} or more", seen.peak, ok).because("small_pool", in_turn=seen.peak <= 1)


def _misplaced(error: AttributeError | TypeError) -> None:
    """End the check if an await or a pair of parentheses is in the wrong place."""
    text = str(error)
    if isinstance(error, AttributeError) and inspect.iscoroutine(error.obj):
        stop("your code", "to run", named(error), "await_first")
    # Up to Python 3.13, later, and from asyncio.create_task.
    if "'await' expression" in text or "can't be awaited" in text or "a coroutine was expected" in text:
        stop("your code", "to run", named(error), "await_in_front")
    if "not callable" in text:
        stop("your code", "to run", named(error), "called_first")


async def _at_once(fetch: Fetch, url: str, headers: dict[str, str], lab: Lab) -> tuple[Heartbeat, Witness]:
    await asyncio.to_thread(lab.reset)
    beat = await heartbeat("yours", *(fetch(url, headers) for _ in range(CALLERS)))
    return beat, await asyncio.to_thread(lab.witness)


# 05b: callers who are cancelled, and one who comes later.

SERVER_S, CANCELLED = 0.4, 3
#: Seconds that the lab's last request may take; a bound, not a measure.
SOON_S = 2.0


async def continued(answer: Callable[[str, str], Any]) -> AsyncIterator[Finding]:
    """Cancel the learner's callers; read at the lab which disconnected and when the new request arrived."""
    async with Lab(latency=SERVER_S) as lab:
        try:
            with patch.object(BaseClient, "__init__", autospec=True, side_effect=BaseClient.__init__) as made:
                took = await awaited(a_function(answer)(lab.url, lab.key), "what your function returned", "seconds")
        except (asyncio.CancelledError, TimeoutError, AttributeError) as error:
            _broke_off(error)
            raise
        left = await sockets_left(lab, "sockets left open")
        async with asyncio.timeout(SOON_S):
            # Asked, not waited for: the lab is another process.
            while (await asyncio.to_thread(lab.witness)).current:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        seen = await asyncio.to_thread(lab.witness)
    yield required(
        equal(
            "requests at the lab", CANCELLED + 1, seen.served, "start_and_cancel", elsewhere=seen.served == 0,
            never_ran=seen.served == 1, no_last=seen.served == CANCELLED, warm_up=seen.served == CANCELLED + 2,
        )
    )  # fmt: skip
    # A client of another library does not tell its limit; then only what the lab saw is judged.
    others = sorted({call.args[0]._settings.limit for call in made.call_args_list} - {CANCELLED})
    yield equal("the client's limit", CANCELLED, (others or [CANCELLED])[0], "limit")
    yield equal("clients that disconnected", CANCELLED, seen.abandoned, "some_left", none_left=seen.abandoned == 0)
    came = seen.last_arrival_s
    soon, expected = came < 0.8 * SERVER_S, f"before the others' {SERVER_S:g} s were over"
    observed = f"after {came:.2f} s"
    yield finding("the last request reached the lab", expected, observed, soon).because("waited_for_a_slot")
    if soon:  # a caller that waited for a slot gives another number, which is explained already
        number = is_number(took)
        ok = number and 0.8 * SERVER_S <= took <= 1.6 * SERVER_S
        observed = f"{took:.2f} s" if number else described(took)
        yield finding("what your function returned", f"about {SERVER_S:g} s", observed, ok).because("seconds")
    yield left


def _broke_off(error: BaseException) -> None:
    """End the check for mistakes of this exercise; an interrupt of the cell passes."""
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        return
    if isinstance(error, asyncio.CancelledError):
        stop("your code", "to run", named(error), "awaits_cancelled")
    if isinstance(error, TimeoutError):
        stop("your code", "to run", named(error), "own_timeout")
    if isinstance(error, AttributeError) and error.name == "cancel" and inspect.iscoroutine(error.obj):
        stop("your code", "to run", named(error), "no_task")
