"""Run a workload through a client and return one span per request; works in any event loop, also a notebook's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from typing import Any, Protocol

from supalab.clients.base import slot_taken
from supalab.measure.case import Span
from supalab.measure.traffic import poisson
from supalab.measure.workload import Workload

__all__ = ["Selects", "arrivals", "burst"]


class Selects(Protocol):
    """Any client that can be measured: all it needs is ``select``."""

    async def select(self, table: str, *, columns: str, limit: int | None) -> Any:
        """Return rows of a table."""


async def burst(client: Selects, workload: Workload, *, watch: bool = True) -> list[Span]:
    """Run the workload through the client and return its spans in the order of the requests.

    ``watch``: record when each request takes its slot, which costs some clients time. Seconds count from the call. A
    failure is an outcome, not an exception; only cancelling the burst ends it early.
    """
    spans: dict[int, Span] = {}
    tickets, origin = iter(range(workload.requests)), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(min(workload.callers or workload.requests, workload.requests)):
            group.create_task(_caller(client, workload, tickets, origin, spans, watch))
    return [spans[ticket] for ticket in range(workload.requests)]


async def arrivals(client: Selects, workload: Workload, rate: float, seed: int = 1) -> list[Span]:
    """Start each request at its time, ``rate`` per second with random gaps, and return their spans in this order.

    The times are the same for each seed, and stretched so that their mean rate is exact. A span's ``asked`` is the
    intended time: if the loop starts the request late, the delay counts as the caller's wait.
    """
    times = _times(workload.requests, rate, seed)
    origin = time.perf_counter()

    async def one(at: float) -> Span:
        await asyncio.sleep(max(origin + at - time.perf_counter(), 0.0))
        span = await _timed(client, workload, lambda: time.perf_counter() - origin, True)
        return span._replace(asked=min(at, span.asked))

    return list(await asyncio.gather(*map(one, times)))


def _times(requests: int, rate: float, seed: int) -> list[float]:
    drawn = poisson(rate, 2 * requests / rate + 10 / rate, seed)[:requests]
    length = drawn[-1] - drawn[0]
    return [(at - drawn[0]) * (requests - 1) / rate / length if length else 0.0 for at in drawn]


async def _caller(
    client: Selects, workload: Workload, tickets: Iterator[int], origin: float, spans: dict[int, Span], watch: bool
) -> None:
    """Send the next request as soon as the last one is answered, until no ticket is left."""
    once = workload.callers is None
    for ticket in tickets:
        spans[ticket] = await _timed(client, workload, lambda: time.perf_counter() - origin, watch)
        if once:
            return


async def _timed(client: Selects, workload: Workload, now: Callable[[], float], watch: bool) -> Span:
    started: list[float] = []
    if watch:
        # May be called from the thread that sends the request; the first call of several is the one that counts.
        slot_taken.set(lambda: started.append(now()))
    asked = now()
    outcome = await _outcome(client, workload)
    done = now()
    return Span(asked, min(started[0], done) if started else None, done, outcome)


async def _outcome(client: Selects, workload: Workload) -> str:
    task = asyncio.current_task()
    try:
        await client.select(workload.table, columns=workload.columns, limit=workload.limit)
    except Exception as error:
        return _named(error)
    except asyncio.CancelledError:
        # Cancelled inside the client: a failed request. Cancelled by the task that awaits the burst: the burst ends.
        if task is None or task.cancelling():
            raise
        return "CancelledError"
    return "ok"


def _named(error: Exception) -> str:
    """Return the error's type and HTTP status, e.g. ``ApiError 503``; requests and httpx keep it in a response."""
    status = getattr(error, "status", None) or getattr(getattr(error, "response", None), "status_code", None)
    return f"{type(error).__name__} {status}" if status else type(error).__name__
