"""Put a service on one client under a short load, for a notebook, and return the trial with every request.

For the measured version, with many rates and faults, see ``supalab.experiments.capacity`` and ``faults``.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from supalab.contest_agent.handle import Agent
from supalab.course.live import live_view
from supalab.lab.handle import Lab
from supalab.measure.case import Trial
from supalab.measure.run import START_S, Progress, trial_of
from supalab.measure.service import PATH, case_of, send
from supalab.measure.traffic import Traffic
from supalab.settings import Settings

TOLD_EVERY_S = 0.2


async def put_under_load(arm: str, lab: Lab, *, rate: float, seconds: float, seed: int = 1) -> Trial:
    """Start a contest agent on an arm's client, send it open-loop load for some ``seconds``, and stop it.

    ``rate``: requests per second on average; ``seed``: of the arrival times, the same for all. The trial has the span
    of every request, and its numbers, such as ``response_p95_s``. Safe to run again. Raises SettingsError, AgentError.
    """
    traffic, tell, so_far = Traffic(seconds, rate, seed=seed), live_view(), [0.0]
    async with Agent(client=arm, url=lab.url, key=lab.key) as agent:
        await asyncio.to_thread(lab.reset)
        address = Settings(agent.url, None, rest_path="")
        # Progress is shown on the loop: output of a thread may appear below another cell.
        job = asyncio.create_task(asyncio.to_thread(send, address, PATH, traffic, tick=so_far.append))
        while not (await asyncio.wait([job], timeout=TOLD_EVERY_S))[0]:
            tell(Progress(min(so_far[-1] / (START_S + seconds), 0.99), arm, 0, 1))
        tell(Progress(1.0, arm, 1, 1))
        seen = await asyncio.to_thread(lab.witness)
    case = case_of(arm, None, traffic, tags={"rate": rate}, detail=True)
    return replace(trial_of(case, await job, seen), timeline=seen.timeline)
