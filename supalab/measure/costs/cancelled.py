"""The worker's side of a cancellation: a client and callers go in, the seconds until each end comes out.

Seconds are counted from the burst's start until the cancellation, and from the cancellation after that.
"""

from __future__ import annotations

import asyncio
import atexit
import time
from collections.abc import Callable, Mapping
from typing import Any

from supalab.clients.arms import Racer
from supalab.measure.machine import machine, versions
from supalab.measure.workload import Workload

__all__ = ["THENS", "cancelled", "report_at_exit", "walk_out"]

#: What the program does when its callers have been cancelled: ask once more, close its client, or just end.
THENS = ("ask", "close", "leave")


def cancelled(
    build: Callable[[], Racer], workload: Workload, plan: Mapping[str, Any], say: Callable[[dict[str, Any]], None]
) -> None:
    """Run a program that cancels its callers; ``say`` gets the figures once the process's threads have ended.

    ``plan``: ``at_s``, seconds from the burst's start to the cancellation, and ``then``, one of ``THENS``.
    """
    found, began = asyncio.run(walk_out(build, workload, plan["at_s"], plan["then"]))
    found["run_s"] = time.perf_counter() - began
    report_at_exit(found, began, say)


def report_at_exit(
    found: dict[str, Any],
    began: float,
    say: Callable[[dict[str, Any]], None],
    at_exit: Callable[[Callable[[], None]], object] = atexit.register,
    clock: Callable[[], float] = time.perf_counter,
) -> None:
    """Say what was found, and ``exit_s``, when the interpreter ends.

    What is registered with ``atexit`` runs after the interpreter has joined all threads that are no daemons, an
    executor's among them: it is the moment at which the process's work is over.
    """

    def report() -> None:
        found["exit_s"] = clock() - began
        say(found)

    at_exit(report)


async def walk_out(
    build: Callable[[], Racer], workload: Workload, at_s: float, then: str
) -> tuple[dict[str, Any], float]:
    """Start a caller for each request, cancel them all after ``at_s`` seconds, and do one of ``THENS``.

    Returns the figures, JSON-ready, and the clock's reading at the cancellation. A request beforehand makes the
    client ready, so that certificates and first imports are not what is cancelled.
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
        "warm_s": warm - begun,
        "cancelled_s": now - begun,
        "free_s": time.perf_counter() - now,
        "answered": sum(_ended_well(caller) for caller in callers),
        "failed": sum(not caller.cancelled() and caller.exception() is not None for caller in callers),
        "late_s": None,
        "late_outcome": None,
        "closed_s": None,
        "versions": versions(),
        "machine": machine(),
    }
    if then == "ask":
        asked = time.perf_counter()
        found["late_outcome"] = await _outcome(client, workload)
        found["late_s"] = time.perf_counter() - asked
    if then != "leave":
        closing = time.perf_counter()
        await client.aclose()
        found["closed_s"] = time.perf_counter() - closing
    return found, now


async def _one(client: Racer, workload: Workload) -> None:
    await client.select(workload.table, columns=workload.columns, limit=workload.limit)


async def _outcome(client: Racer, workload: Workload) -> str:
    """A pool that the cancellation broke is a result: its last caller then has an error, not an answer."""
    try:
        await _one(client, workload)
    except Exception as error:
        return type(error).__name__
    return "ok"


def _ended_well(caller: asyncio.Task[None]) -> bool:
    return not caller.cancelled() and caller.exception() is None
