"""The generator: a plan goes in, requests go out at their times whatever the answers do, and shots come out.

An open load never waits for an answer before it sends the next request. A timer wakes it at each intended start;
how late it was then is in the shot.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import httpx

from supalab.clients.transports import PooledTransport
from supalab.errors import ResponseTooLarge
from supalab.load.plan import Plan
from supalab.load.schedule import leavers
from supalab.load.shots import CAPPED, LEFT, LOST, OK, REFUSED, TIMEOUT, Shot

__all__ = ["Send", "fire", "fire_closed", "fire_open"]

Send = Callable[[], Awaitable[str]]
# Shorter than servers keep a connection (uvicorn 5 s), so that it is never they who hang up on a request just sent.
KEEP_S = 3.0
# A closed caller that is refused at once would ask again at once, thousands of times a second.
PAUSE_S = 0.1
ENOUGH, MANY = 4_096, 10_000


async def fire(plan: Plan, began: Callable[[], None] = lambda: None) -> list[Shot]:
    """Run a plan over real connections; ``began`` is called when its clock starts. Nothing it meets is raised."""
    async with PooledTransport(plan.url, keep_alive=KEEP_S) as transport:
        request = httpx.Request("GET", plan.url, headers=dict(plan.headers))

        async def send() -> str:
            return await _outcome(transport, request)

        began()
        if plan.callers is not None:
            return await fire_closed(plan, send)
        return await fire_open(plan, plan.arrivals, send)


async def _outcome(transport: PooledTransport, request: httpx.Request) -> str:
    try:
        response = await transport.handle_async_request(request)
    except httpx.ConnectError:
        return REFUSED
    except (httpx.TransportError, ResponseTooLarge):
        return LOST
    return OK if 200 <= response.status_code < 300 else f"HTTP {response.status_code}"


async def fire_open(plan: Plan, schedule: Sequence[tuple[float, bool]], send: Send) -> list[Shot]:
    """Send at each time of the schedule (and whether its caller leaves), and wait for all answers at the end."""
    clock = asyncio.get_running_loop().time
    origin = clock()
    shots: list[Shot] = []
    flying: set[asyncio.Task[None]] = set()

    async def one(intended: float, leaver: bool) -> None:
        shots.append(await _shot(plan, send, origin, intended, leaver))

    for intended, leaver in schedule:
        ahead = origin + intended - clock()
        if ahead > 0:
            await asyncio.sleep(ahead)
        if len(flying) >= plan.cap:
            now = clock() - origin
            shots.append(Shot(intended, now, now, CAPPED))
            continue
        task = asyncio.create_task(one(intended, leaver))
        flying.add(task)
        task.add_done_callback(flying.discard)
    await asyncio.gather(*flying)
    return sorted(shots)


async def fire_closed(plan: Plan, send: Send) -> list[Shot]:
    """Let each caller ask, wait for the answer and ask again until the time is over."""
    clock = asyncio.get_running_loop().time
    origin = clock()
    shots: list[Shot] = []

    async def caller(number: int) -> None:
        leaves = leavers(ENOUGH, plan.leave_share, plan.seed * MANY + number)
        turn = 0
        while (now := clock() - origin) < plan.duration:
            shot = await _shot(plan, send, origin, now, leaves[turn % ENOUGH])
            shots.append(shot)
            turn += 1
            if shot.outcome not in {OK, LEFT}:
                await asyncio.sleep(PAUSE_S)

    await asyncio.gather(*(caller(number) for number in range(plan.callers or 0)))
    return sorted(shots)


async def _shot(plan: Plan, send: Send, origin: float, intended: float, leaver: bool) -> Shot:
    """One request; patience runs from the intended start, as the caller's does."""
    clock = asyncio.get_running_loop().time
    sent = clock() - origin
    patience = min(plan.leave_after, plan.timeout) if leaver else plan.timeout
    try:
        async with asyncio.timeout_at(origin + intended + patience):
            outcome = await send()
    except TimeoutError:
        outcome = LEFT if leaver else TIMEOUT
    return Shot(intended, sent, clock() - origin, outcome)
