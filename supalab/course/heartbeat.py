"""Measure how late an event loop runs a ticker while coroutines run.

A ticker is the smallest other task of a loop. If it is late, everything on the loop is late: no response is read, no
health check is answered, no timer runs.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

from supalab.errors import SettingsError
from supalab.report.format import duration

#: Seconds between two ticks.
EVERY_S = 0.01
#: Ticks before the first coroutine and after the last, so that the chart shows the undisturbed loop.
AROUND_S = 0.1


@dataclass(frozen=True, slots=True)
class Heartbeat:
    """When a loop ticked, and when each coroutine began its first step and ended; seconds."""

    name: str
    ticks: tuple[float, ...]
    callers: tuple[tuple[float, float], ...]

    @property
    def longest_lag(self) -> float:
        """The longest time that a tick came after it was due, in seconds."""
        return max(0.0, max(end - start for start, end in itertools.pairwise(self.ticks)) - EVERY_S)

    @property
    def took(self) -> float:
        """Seconds from the first step of the first coroutine to the end of the last one."""
        return max(end for _, end in self.callers) - min(start for start, _ in self.callers)

    def __str__(self) -> str:
        return f"{self.name}: done after {duration(self.took)}, loop lag up to {duration(self.longest_lag)}"


async def heartbeat(name: str, *coroutines: Coroutine[Any, Any, Any]) -> Heartbeat:
    """Run coroutines at once on this loop together with a ticker; if one raises, the others are cancelled first.

    ``name`` is for the chart; one such as ``fake-3`` gets its arm's colour.
    """
    if not coroutines:
        raise SettingsError("heartbeat needs at least one coroutine to listen to")
    origin, ticks = time.perf_counter(), list[float]()

    async def tick() -> None:
        while True:
            ticks.append(time.perf_counter() - origin)
            await asyncio.sleep(EVERY_S)

    async def timed(coroutine: Coroutine[Any, Any, Any]) -> tuple[float, float]:
        began = time.perf_counter() - origin
        await coroutine
        return began, time.perf_counter() - origin

    tasks = [asyncio.create_task(tick())]
    try:
        await asyncio.sleep(AROUND_S)
        calls = [asyncio.create_task(timed(one)) for one in coroutines]
        tasks += calls  # type: ignore[arg-type]
        callers = await asyncio.gather(*calls)
        await asyncio.sleep(AROUND_S)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for one in coroutines:
            one.close()
    return Heartbeat(name, tuple(ticks), tuple(callers))
