"""Measure the memory of a client while all its requests are in flight: a job of the worker."""

from __future__ import annotations

import asyncio
import gc
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from supalab.clients.base import BaseClient
from supalab.errors import TrialError
from supalab.measure.machine import machine, versions
from supalab.measure.memory import uss, written
from supalab.measure.workload import Workload
from supalab.process.tuning import raise_file_limit

__all__ = ["at_rest", "held"]

LOOK_S = 0.05
# Between two checks, a process that only waits uses less CPU than this, and one that still sends uses more.
REST_CPU_S = 0.002
RESTS = 4
#: The part of the server time after which the memory is read at the latest.
PATIENCE = 0.9


async def held(build: Callable[[], BaseClient], workload: Workload, say: Callable[[dict[str, Any]], None]) -> None:
    """Send all requests at once, wait until the process is at rest, read the memory, and report it with ``say``.

    JSON-ready; ``threads`` are those besides the main one. The baseline is read when everything is imported and no
    client is made yet. The memory is read once, by this loop: no sampler runs at the same time. Shortly before the
    first response is due, it is read even if the process is not at rest; ``at_rest`` says whether that happened.
    """
    raise_file_limit()
    gc.collect()
    known, threads = set(sys.modules), threading.active_count()
    base = _both()
    client = build()
    began = time.perf_counter()
    callers = [asyncio.create_task(_one(client, workload)) for _ in range(workload.requests)]
    still = await at_rest(PATIENCE * (workload.latency or 0.0))
    settled = time.perf_counter() - began
    seen = _both()
    numbers = {
        "base_bytes": base[1],
        "held_bytes": seen[1] - base[1],
        "uss_bytes": seen[0] - base[0],
        "threads": threading.active_count() - threads,
        "answered": sum(caller.done() for caller in callers),
        "at_rest": still,
        "settle_s": settled,
    }
    late = sorted(set(sys.modules) - known)
    say({"numbers": numbers, "late_imports": late, "versions": versions(), "machine": machine()})


async def at_rest(
    patience: float,
    *,
    cpu: Callable[[], float] = time.process_time,
    clock: Callable[[], float] = time.perf_counter,
    pause: Callable[[float], Any] = asyncio.sleep,
) -> bool:
    """Wait until this process is idle for several checks in a row; False if that takes over ``patience`` seconds."""
    end, rests, before = clock() + patience, 0, cpu()
    while rests < RESTS:
        if clock() > end:
            return False
        await pause(LOOK_S)
        used = cpu()
        rests = rests + 1 if used - before < REST_CPU_S else 0
        before = used
    return True


def _both() -> tuple[int, int]:
    """Unique set size, and the part of it that was written to."""
    whole, own = uss(), written()
    if whole is None or own is None:
        raise TrialError("this system does not tell a process's unique set size: memory cannot be measured here")
    return whole, own


async def _one(client: BaseClient, workload: Workload) -> None:
    await client.select(workload.table, columns=workload.columns, limit=workload.limit)
