"""Put a service on one client under a short load, for a notebook; return every request and the lab's counts.

For the measured version, with many rates and faults, see ``supalab.experiments.capacity`` and ``faults``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from supalab.contest_agent.handle import Agent
from supalab.course.live import progress_line
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.case import Span
from supalab.measure.run import START_S, Progress
from supalab.measure.service import PATH, send
from supalab.measure.traffic import Traffic, failures, response
from supalab.settings import Settings

__all__ = ["Served", "put_under_load"]

TOLD_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Served:
    """A contest agent that was put under load: its client's arm, every request, and what the lab witnessed."""

    arm: str
    traffic: Traffic
    spans: tuple[Span, ...]
    witness: Witness

    @property
    def limit(self) -> int:
        """The client's limit."""
        return int(self.arm.rpartition("-")[2])

    @property
    def p95_s(self) -> float:
        """Return the time within which 95 % of the callers had a response; infinite if more than 5 % got none."""
        found = response(self.spans, 95)
        return math.inf if found is None else found

    @property
    def lost(self) -> int:
        """Return the number of callers without a response."""
        return sum(failures(self.spans).values())


async def put_under_load(arm: str, lab: Lab, *, rate: float, seconds: float, seed: int = 1) -> Served:
    """Start a contest agent on an arm's client, send it open-loop load for some ``seconds``, end it.

    ``rate``: requests per second on average; ``seed``: of the arrival times, the same for all. Safe to run again.
    Raises SettingsError, AgentError.
    """
    traffic, tell = Traffic(seconds, rate, seed=seed), progress_line()
    async with Agent(client=arm, url=lab.url, key=lab.key) as agent:
        await asyncio.to_thread(lab.reset)
        found = await _loaded(arm, agent, traffic, tell)
        return Served(arm, traffic, tuple(found["spans"]), await asyncio.to_thread(lab.witness))


async def _loaded(arm: str, agent: Agent, traffic: Traffic, tell: Callable[[Progress], None]) -> dict[str, Any]:
    """Send the load from a thread but show progress on the loop: a thread's output may appear below another cell."""
    whole, so_far, address = START_S + traffic.duration, [0.0], Settings(agent.url, None, rest_path="")
    job = asyncio.create_task(asyncio.to_thread(send, address, PATH, traffic, tick=lambda now: so_far.append(now)))
    while not (await asyncio.wait([job], timeout=TOLD_EVERY_S))[0]:
        tell(Progress(min(so_far[-1] / whole, 0.99), arm, 0, 1))
    tell(Progress(1.0, arm, 1, 1))
    return await job
