"""A service on a client, for a notebook: an arm and a rate go in, every request of a short load comes out.

With it comes what the lab witnessed. For the measured version, with many rates and faults, see ``supalab.capacity``.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from supalab.capacity.scene import PATH
from supalab.contest_agent.handle import Agent
from supalab.course.progress import progress_line
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.load.plan import Plan, target
from supalab.load.run import expected_s, load
from supalab.load.shots import Load
from supalab.measure.run import Progress

__all__ = ["Served", "put_under_load"]

TOLD_EVERY_S = 0.2


@dataclass(frozen=True, slots=True)
class Served:
    """A contest agent that was put under load: its client's arm, every request, and what the lab witnessed."""

    arm: str
    load: Load
    witness: Witness

    @property
    def limit(self) -> int:
        """The client's limit."""
        return int(self.arm.rpartition("-")[2])

    @property
    def p95_s(self) -> float:
        """Seconds within which 95 % of the callers had their answer; infinite if more than 5 % were lost."""
        found = self.load.response(95)
        return math.inf if found is None else found


async def put_under_load(arm: str, lab: Lab, *, rate: float, seconds: float, seed: int = 1) -> Served:
    """Start a contest agent on an arm's client, send it open arrivals for some ``seconds``, end it.

    ``rate``: requests a second on average; ``seed``: chance in the arrivals, the same for all. Safe to run again.
    Raises SettingsError, AgentError.
    """
    tell = progress_line()
    async with Agent(client=arm, url=lab.url, key=lab.key) as agent:
        await asyncio.to_thread(lab.reset)
        found = await _loaded(arm, Plan(target(agent.url, PATH), seconds, rate=rate, seed=seed), tell)
        return Served(arm, found, await asyncio.to_thread(lab.witness))


async def _loaded(arm: str, plan: Plan, tell: Callable[[Progress], None]) -> Load:
    """Fire it from a thread and tell on the loop how far it is: what a thread shows may end up below another cell."""
    whole, so_far = expected_s([plan]), [0.0]
    job = asyncio.create_task(asyncio.to_thread(load, plan, tick=lambda now: so_far.append(now)))
    while not (await asyncio.wait([job], timeout=TOLD_EVERY_S))[0]:
        tell(Progress(min(so_far[-1] / whole, 0.99), arm, 0, 1))
    tell(Progress(1.0, arm, 1, 1))
    return await job
