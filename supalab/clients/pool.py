"""What a client has on one event loop and cannot use on another: a gate, a transport, the deadlines of its requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import httpx

__all__ = ["Pool", "open_pool"]


@dataclass(slots=True)
class Pool:
    """``gate`` lets as many requests through as the client's limit; ``under_way`` has the deadline of each."""

    loop: asyncio.AbstractEventLoop
    gate: asyncio.Semaphore
    transport: httpx.AsyncBaseTransport
    closing: AsyncGenerator[None, None] = field(repr=False)
    under_way: set[asyncio.Timeout] = field(default_factory=set)
    chance: Random = field(default_factory=Random)
    process: int = field(default_factory=os.getpid)

    async def aclose(self) -> None:
        """End every request, wherever it waits, as if its time were up, and close the transport."""
        for deadline in self.under_way:
            if not deadline.expired():
                deadline.reschedule(0.0)  # long ago
        await self.closing.aclose()

    async def aclose_from_elsewhere(self, patience: float) -> None:
        """Have the pool's own loop close it, and wait for that while it runs, ``patience`` seconds at most.

        A loop that rests closes it when it runs again; one that ends closes it by itself (see ``open_pool``).
        """
        now = asyncio.get_running_loop().time
        end = now() + patience  # the other loop may be blocked, perhaps by whoever waits for this one
        closing = asyncio.run_coroutine_threadsafe(self.aclose(), self.loop)
        # Looked at now and then, not wrapped: a loop that has stopped never tells, and one that is blocked would
        # tell this one when it may be gone.
        while not closing.done() and self.loop.is_running() and now() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if closing.done() and not closing.cancelled():
            closing.result()


def open_pool(transport: httpx.AsyncBaseTransport, limit: int) -> Pool:
    """Make the pool of the running loop; without an ``await``, so that no other caller can come between."""
    closing = _closed_at_the_end(transport)
    with suppress(StopIteration):
        closing.asend(None).send(None)  # up to its yield, where it waits for nothing
    return Pool(asyncio.get_running_loop(), asyncio.Semaphore(limit), transport, closing)


async def _closed_at_the_end(transport: httpx.AsyncBaseTransport) -> AsyncGenerator[None, None]:
    """Close a transport when this generator is closed; a loop does that to all its generators before it ends.

    So a client that ``asyncio.run`` leaves open loses no connection and prints no complaint of a lower layer.
    """
    try:
        yield
    finally:
        await transport.aclose()
