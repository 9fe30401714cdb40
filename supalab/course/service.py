"""Put a service on one client under a short load, for a notebook; return every request and the lab's counts.

For the measured version, with many rates and faults, see ``supalab.experiments.capacity`` and ``faults``.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from supalab.contest_agent.handle import Agent
from supalab.course.live import live_view
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
    def p95_s(self) -> float | None:
        """The time within which 95 % of the callers had a response; ``None`` (never) if more than 5 % got none."""
        return response(self.spans, 95)

    @property
    def lost(self) -> int:
        """The number of callers without a response."""
        return sum(failures(self.spans).values())


async def put_under_load(arm: str, lab: Lab, *, rate: float, seconds: float, seed: int = 1) -> Served:
    """Start a contest agent on an arm's client, send it open-loop load for some ``seconds``, end it.

    ``rate``: requests per second on average; ``seed``: of the arrival times, the same for all. Safe to run again.
    Raises SettingsError, AgentError.
    """
    traffic, tell, so_far = Traffic(seconds, rate, seed=seed), live_view(), [0.0]
    async with Agent(client=arm, url=lab.url, key=lab.key) as agent:
        await asyncio.to_thread(lab.reset)
        address = Settings(agent.url, None, rest_path="")
        # Progress is shown on the loop: what a thread writes may appear below another cell.
        job = asyncio.create_task(asyncio.to_thread(send, address, PATH, traffic, tick=so_far.append))
        while not (await asyncio.wait([job], timeout=TOLD_EVERY_S))[0]:
            tell(Progress(min(so_far[-1] / (START_S + seconds), 0.99), arm, 0, 1))
        tell(Progress(1.0, arm, 1, 1))
        return Served(arm, traffic, tuple((await job)["spans"]), await asyncio.to_thread(lab.witness))
