"""Open arrivals on a client: an arm and times go in, each request starts at its time whatever the others do, spans out.

``python -m supalab.measure.detective.arrivals``: a job (JSON line on stdin) → one run in a fresh process → a JSON line.
A burst asks for everything at once and lets the client's limit set the pace; here the arrivals do, as users do.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from supalab.clients.arms import arm
from supalab.clients.base import BaseClient, slot_taken
from supalab.errors import TrialError
from supalab.lab.handle import Lab
from supalab.load.schedule import poisson
from supalab.measure.child import run_worker
from supalab.measure.machine import machine, versions
from supalab.measure.trial import Span
from supalab.measure.workload import Workload
from supalab.process.attach import attach_to_parent
from supalab.settings import Settings

__all__ = ["Arrived", "arrivals", "arrive", "main", "times_of"]

PATIENCE_S = 60.0

Arrived = dict[str, Any]


def times_of(count: int, rate: float, seed: int = 1) -> tuple[float, ...]:
    """Return ``count`` Poisson arrivals in seconds, the first at 0, the whole stretched to ``rate`` a second."""
    drawn = poisson(rate, 2 * count / rate + 10 / rate, seed)[:count]
    length = drawn[-1] - drawn[0]
    return tuple((at - drawn[0]) * (count - 1) / rate / length for at in drawn) if length else drawn


def arrivals(
    name: str, lab: Lab, times: Sequence[float], workload: Workload, tick: Callable[[float], None] = lambda _: None
) -> Arrived:
    """Run an arm over arrivals in a lab as it is; ``spans``, ``machine`` and ``versions`` come back.

    ``tick`` is called with the seconds so far. Raises TrialError when the process breaks.
    """
    lab.reset()
    ca_file = None if lab.ca_file is None else str(lab.ca_file)
    settings = Settings(lab.url, lab.key, timeout=PATIENCE_S, ca_file=ca_file)
    job: dict[str, Any] = {"arm": name, "settings": asdict(settings), "times": list(times)}
    job["workload"] = asdict(replace(workload, requests=len(times)))
    found = run_worker(job, limit_s=PATIENCE_S + 2 * times[-1], tick=tick, module=__name__, who=f"arrivals at {name}")
    if not found["spans"]:
        raise TrialError(f"arrivals at {name} brought no requests: give at least one time")
    return {**found, "spans": tuple(Span(*row) for row in found["spans"])}


def main() -> int:
    """Run the parent's job and report its spans."""
    with attach_to_parent() as parent:
        parent.report(_job(parent.options))
    return 0


def _job(job: dict[str, Any]) -> dict[str, Any]:
    client = arm(job["arm"]).build(Settings(**job["settings"]))
    spans = asyncio.run(arrive(client, Workload(**job["workload"]), job["times"]))
    rows = [(round(s.asked, 6), s.started and round(s.started, 6), round(s.done, 6), s.outcome) for s in spans]
    return {"spans": rows, "machine": machine(), "versions": versions()}


async def arrive(client: BaseClient, workload: Workload, times: Sequence[float]) -> list[Span]:
    """Start a request at each time, wait for all, close the client, and return their spans in order.

    ``asked`` is the time as it was meant: a loop that comes late to it has made its caller wait.
    """
    clock = asyncio.get_running_loop().time
    async with client, asyncio.TaskGroup() as group:
        origin = clock()
        tasks = []
        for at in times:
            await asyncio.sleep(max(origin + at - clock(), 0.0))
            tasks.append(group.create_task(_one(client, workload, at, lambda: clock() - origin)))
        return [await task for task in tasks]


async def _one(client: BaseClient, workload: Workload, asked: float, now: Callable[[], float]) -> Span:
    started: list[float] = []
    slot_taken.set(lambda: started.append(now()))
    try:
        await client.select(workload.table, columns=workload.columns, limit=workload.limit)
        outcome = "ok"
    except Exception as error:
        outcome = type(error).__name__
    done = max(now(), asked)
    return Span(asked, min(max(started[0], asked), done) if started else None, done, outcome)


if __name__ == "__main__":
    sys.exit(main())
