"""Cancel all callers of a client and record when everything ends: a job of the worker.

Seconds count from the burst's start until the cancellation, and from the cancellation after that.
"""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from supalab.clients.base import BaseClient
from supalab.measure.machine import machine, versions
from supalab.measure.workload import Workload

__all__ = ["THENS", "cancelled", "report_at_exit", "timeline"]

#: What the program does after its callers have been cancelled: send a new request, close its client, or exit.
THENS = ("ask", "close", "leave")


def cancelled(
    build: Callable[[], BaseClient], workload: Workload, plan: Mapping[str, Any], say: Callable[[dict[str, Any]], None]
) -> None:
    """Run a program that cancels its callers; ``say`` receives the numbers when the process's threads have ended.

    ``plan``: ``at_s``, seconds from the burst's start to the cancellation, and ``then``, one of ``THENS``.
    """
    numbers, warm_s, began = asyncio.run(_cancelled(build, workload, plan["at_s"], plan["then"]))
    numbers["run_s"] = time.perf_counter() - began
    result = {"numbers": numbers, "warm_s": warm_s, "versions": versions(), "machine": machine()}
    report_at_exit(numbers, began, lambda _: say(result))


def timeline(
    seen: Sequence[tuple[float, int]], numbers: Mapping[str, Any], warm_s: float
) -> tuple[tuple[float, int], ...]:
    """Return the requests in flight that the lab saw, in seconds since the callers started; pure.

    The lab's record begins with the warm-up request (until ``warm_s``), which is left out. Both sides know when that
    request and the new caller's request ended, and this gives the offset between the two clocks: a response cannot
    arrive before it was sent, so the tighter of the two bounds is used.
    """
    ready = next((place for place, (_, in_flight) in enumerate(seen) if in_flight == 0), 0)
    ends = [(warm_s, ready)] * bool(seen)
    if ends and numbers["late_outcome"] == "ok":
        ends.append((numbers["cancelled_s"] + numbers["free_s"] + numbers["late_s"], -1))
    shift = min((at - seen[place][0] for at, place in ends), default=0.0)
    return tuple((round(at + shift, 6), in_flight) for at, in_flight in seen[ready + 1 :])


def report_at_exit(
    found: dict[str, Any],
    began: float,
    say: Callable[[dict[str, Any]], None],
    at_exit: Callable[[Callable[[], None]], object] = atexit.register,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Report the result, with ``exit_s``, when the interpreter exits.

    ``atexit`` functions run after the interpreter has joined all non-daemon threads, an executor's among them. At this
    moment the process's work is finished.
    """

    def report() -> None:
        found["exit_s"] = clock() - began
        say(found)

    at_exit(report)


async def _cancelled(
    build: Callable[[], BaseClient], workload: Workload, at_s: float, then: str
) -> tuple[dict[str, Any], float, float]:
    """Start a caller for each request, cancel them all after ``at_s`` seconds, and do one of ``THENS``.

    Returns the numbers, when the first request had ended, and the clock's reading at the cancellation. That request is
    a warm-up, so that the cancellation does not hit the loading of certificates or first imports.
    """
    client = build()
    await _one(client, workload)
    warm = time.perf_counter()
    callers = [asyncio.create_task(_one(client, workload)) for _ in range(workload.requests)]
    begun = time.perf_counter()
    await asyncio.sleep(at_s)
    now = time.perf_counter()
    for caller in callers:
        caller.cancel()
    await asyncio.wait(callers)
    found: dict[str, Any] = {
        "cancelled_s": now - begun,
        "free_s": time.perf_counter() - now,
        "answered": sum(_ended_well(caller) for caller in callers),
        "failed": sum(not caller.cancelled() and caller.exception() is not None for caller in callers),
        "late_s": None,
        "late_outcome": None,
        "closed_s": None,
    }
    if then == "ask":
        asked = time.perf_counter()
        found["late_outcome"] = await _outcome(client, workload)
        found["late_s"] = time.perf_counter() - asked
    if then != "leave":
        closing = time.perf_counter()
        await client.aclose()
        found["closed_s"] = time.perf_counter() - closing
    return found, warm - begun, now


async def _one(client: BaseClient, workload: Workload) -> None:
    await client.select(workload.table, columns=workload.columns, limit=workload.limit)


async def _outcome(client: BaseClient, workload: Workload) -> str:
    """If the cancellation broke the pool, that is a result: the last caller then has an error instead of a response."""
    try:
        await _one(client, workload)
    except Exception as error:
        return type(error).__name__
    return "ok"


def _ended_well(caller: asyncio.Task[None]) -> bool:
    return not caller.cancelled() and caller.exception() is None
