"""Cancelling any call at any moment, thousands of times, leaves the client usable: two servers confirm it."""

from __future__ import annotations

import asyncio
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any

import psutil
import pytest
from faultserver import Exchange, Fault, FaultServer, break_off, die, drip, half_body, hang, reply, slow

from supalab import Lab, SupabaseAsync
from supalab.clients.base import Client
from supalab.errors import ClientClosed, ClientError

KEY = "sb_publishable_of_these_tests"
LIMIT = 4
ONE = [{"id": 1}]
CALLS: list[Callable[[Client], Awaitable[Any]]] = [
    lambda db: db.select("t"),
    lambda db: db.select("t", count="exact", head=True),
    lambda db: db.insert("t", {"text": "x" * 200_000}),
    lambda db: db.update("t", {"id": 1}, filters={"id": 1}),
    lambda db: db.delete("t", filters={"id": 1}),
    lambda db: db.rpc("f"),
]
#: So that some moment falls into every phase: connecting, sending, waiting, reading, pausing, queueing.
FAULTS: list[Fault] = [
    reply(),
    slow(0.004),
    hang,
    drip(12, 0.002),
    die,
    break_off,
    half_body,
    reply("503 Busy", b"{}"),
    reply("200 OK", b"[" + b" " * 300_000 + b"]"),
]


def mixed(seed: int) -> Fault:
    """Return a fault that chooses another fault at random for each request."""
    chance = random.Random(seed)

    async def fault(exchange: Exchange) -> None:
        await chance.choice(FAULTS)(exchange)

    return fault


async def settled(what: Callable[[], int], most: int) -> int:
    """Wait until a number has fallen, but not forever."""
    for _ in range(200):
        gc.collect()
        if what() <= most:
            break
        await asyncio.sleep(0.02)
    return what()


def descriptors() -> int:
    me: Any = psutil.Process()
    return int(me.num_fds() if hasattr(me, "num_fds") else me.num_handles())


async def cancel_at_random(client: Client, chance: random.Random, times: int) -> int:
    """Start calls and cancel each at a random moment; return how many ended before that."""
    ended = 0
    for _ in range(times):
        call = asyncio.ensure_future(chance.choice(CALLS)(client))
        for _ in range(chance.choice((0, 1, 2, 3, 5, 8))):  # turns of the loop, where the races are
            await asyncio.sleep(0)
        await asyncio.sleep(chance.choice((0, 0, 0.001, 0.004, 0.02)))
        call.cancel()
        try:
            await call
            ended += 1
        except asyncio.CancelledError:
            pass
        except ClientError:
            ended += 1
    return ended


@pytest.mark.parametrize("seed", [1, 2])
async def test_thousands_of_cancellations_leave_the_client_whole(seed: int) -> None:
    """Twice 2,000 calls of every method, with every fault: afterwards, ``limit`` calls run at once."""
    with FaultServer(mixed(seed)) as server:
        async with SupabaseAsync(server.url, KEY, limit=LIMIT, timeout=5) as client:
            before = descriptors()
            workers = [cancel_at_random(client, random.Random(seed * 100 + i), 160) for i in range(12)]
            ended = sum(await asyncio.gather(*workers))
            assert 0 < ended < 12 * 160, "some calls were cancelled, some were not"
            assert not asyncio.all_tasks() - {asyncio.current_task()}
            await server.calm(slow(0.3))
            assert await asyncio.gather(*(client.select("t") for _ in range(3 * LIMIT))) == [ONE] * 3 * LIMIT
            assert server.peak == LIMIT
            here = client._open
            assert here is not None
            assert (here.gate._value, len(here.under_way)) == (LIMIT, 0)
            # Each kept connection has two ends in this process.
            assert await settled(descriptors, before + 2 * LIMIT) <= before + 2 * LIMIT
            assert await settled(lambda: server.open, LIMIT) <= LIMIT
        assert await settled(lambda: server.open, 0) == 0


@pytest.fixture
async def busy() -> AsyncIterator[Lab]:
    """A lab with a small latency, in a process of its own."""
    async with Lab(latency=0.02, jitter=0.01) as lab:
        yield lab


async def test_the_lab_finds_nothing_lost(busy: Lab) -> None:
    """After a thousand cancellations: the same descriptors, threads and tasks as before, and all slots work."""
    me = psutil.Process()
    async with SupabaseAsync(busy.url, busy.key, limit=LIMIT) as client:
        await asyncio.gather(*(client.select("contests", limit=1) for _ in range(LIMIT)))
        before = descriptors(), me.num_threads()

        async def worker(chance: random.Random) -> None:
            for _ in range(60):
                call = asyncio.create_task(client.select("contests", limit=1))
                await asyncio.sleep(chance.uniform(0, 0.05))
                call.cancel()
                with suppress(asyncio.CancelledError):
                    await call

        await asyncio.gather(*(worker(random.Random(i)) for i in range(16)))
        assert not asyncio.all_tasks() - {asyncio.current_task()}
        busy.set(latency=0.2)
        busy.reset()
        await asyncio.gather(*(client.select("contests", limit=1) for _ in range(LIMIT)))
        assert busy.witness().peak == LIMIT
        assert await settled(descriptors, before[0]) <= before[0]
        assert me.num_threads() <= before[1]


@pytest.mark.parametrize("seed", range(5))
async def test_closing_among_cancellations_ends_everything(seed: int) -> None:
    """aclose at a random moment: every call ends immediately with a result or error, and no connection is left."""
    chance = random.Random(seed)
    with FaultServer(mixed(seed)) as server:
        for _ in range(20):
            client = SupabaseAsync(server.url, KEY, limit=LIMIT, timeout=20)
            calls = [asyncio.ensure_future(chance.choice(CALLS)(client)) for _ in range(12)]
            await asyncio.sleep(chance.uniform(0, 0.01))
            for call in chance.sample(calls, 3):
                call.cancel()
            await client.aclose()
            async with asyncio.timeout(5):
                results = await asyncio.gather(*calls, return_exceptions=True)
            errors = [one for one in results if isinstance(one, BaseException)]
            assert {type(one) for one in errors} <= {ClientClosed, asyncio.CancelledError, *_other_ends()}
            assert all(str(one) for one in errors if not isinstance(one, asyncio.CancelledError))
        assert not asyncio.all_tasks() - {asyncio.current_task()}
        assert await settled(lambda: server.open, 0) == 0


def _other_ends() -> set[type[BaseException]]:
    """Return how a call may end before the client is closed."""
    from supalab.errors import ApiError, ConnectionLost, OutcomeUnknown

    return {ApiError, ConnectionLost, OutcomeUnknown}


async def test_a_cancelled_close_has_closed() -> None:
    """A close that is cancelled has still closed: no connection stays, and a second close works."""
    with FaultServer(hang) as server:
        for moments in range(6):
            client = SupabaseAsync(server.url, KEY)
            call = asyncio.ensure_future(client.select("t"))
            await asyncio.sleep(0.03)
            closing = asyncio.ensure_future(client.aclose())
            for _ in range(moments):
                await asyncio.sleep(0)
            closing.cancel()
            await asyncio.gather(closing, return_exceptions=True)
            await client.aclose()
            with pytest.raises(ClientClosed):
                await asyncio.wait_for(call, 5)
        assert await settled(lambda: server.open, 0) == 0
