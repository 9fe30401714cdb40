"""The parts of a client that belong to one event loop: its semaphore, its transport, the deadlines of its requests."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from random import Random

import httpx


@dataclass(slots=True)
class Pool:
    """``gate`` is a semaphore with the client's limit; ``under_way`` holds the deadline of each running request."""

    loop: asyncio.AbstractEventLoop
    gate: asyncio.Semaphore
    transport: httpx.AsyncBaseTransport
    closing: AsyncGenerator[None, None] = field(repr=False)
    under_way: set[asyncio.Timeout] = field(default_factory=set)
    chance: Random = field(default_factory=Random)
    process: int = field(default_factory=os.getpid)

    async def aclose(self) -> None:
        """End every request as if its time were up, wherever it waits, and close the transport."""
        for deadline in self.under_way:
            if not deadline.expired():
                deadline.reschedule(0.0)  # long ago
        await self.closing.aclose()

    async def aclose_from_elsewhere(self, patience: float) -> None:
        """Close the pool on its own loop; if that loop runs, wait for it at most ``patience`` seconds.

        A stopped loop closes the pool when it runs again; a loop that is being closed closes the pool first (see
        ``open_pool``).
        """
        now = asyncio.get_running_loop().time
        end = now() + patience  # the other loop may be blocked, perhaps by code that waits for this one
        closing = asyncio.run_coroutine_threadsafe(self.aclose(), self.loop)
        # Polled, not awaited: a loop that has stopped never reports, and a blocked loop would report when this one may
        # be gone.
        while not closing.done() and self.loop.is_running() and now() < end:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        if closing.done() and not closing.cancelled():
            closing.result()


def open_pool(transport: httpx.AsyncBaseTransport, limit: int) -> Pool:
    """Create the pool of the running loop; there is no ``await`` in it, so no other task can interrupt it."""
    closing = _closed_at_the_end(transport)
    with suppress(StopIteration):
        closing.asend(None).send(None)  # up to its yield, where it waits for nothing
    return Pool(asyncio.get_running_loop(), asyncio.Semaphore(limit), transport, closing)


async def _closed_at_the_end(transport: httpx.AsyncBaseTransport) -> AsyncGenerator[None, None]:
    """Close a transport when this generator is closed; an event loop closes all its generators before it ends.

    So a client that is still open when ``asyncio.run`` ends leaks no connection and causes no warning from httpx or
    asyncio.
    """
    try:
        yield
    finally:
        await transport.aclose()
