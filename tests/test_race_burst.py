"""A burst in the caller's own loop: every request has a span, whatever happens to it."""

from __future__ import annotations

import asyncio
import threading

import pytest

from supalab.clients.base import slot_taken
from supalab.errors import ApiError, DeadlineExceeded
from supalab.measure.case import Workload
from supalab.measure.traffic import burst


class Gated:
    """A client of two slots; ``fail`` says what each call raises, by its number from 0."""

    def __init__(self, fail=None, gap=0.01):
        self.fail, self.gap, self.calls, self.now, self.peak = fail or {}, gap, 0, 0, 0
        self.gate = asyncio.Semaphore(2)

    async def select(self, table, *, columns, limit):
        number, self.calls = self.calls, self.calls + 1
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            async with self.gate:
                slot_taken.get()()
                await asyncio.sleep(self.gap)
                slot_taken.get()()  # a second call, as of a retry: only the first one counts
                if number in self.fail:
                    raise self.fail[number]
        finally:
            self.now -= 1


async def test_a_burst_waits_for_slots_and_says_how_long():
    """Six requests over two slots: three waves, the waits grow, services stay alike."""
    spans = await burst(Gated(), Workload(requests=6, latency=0.01))
    waits = [span.wait for span in spans]
    assert len(spans) == 6
    assert max(waits[:2]) < min(waits[2:4]) < max(waits[2:4]) < min(waits[4:])
    assert waits[-1] > 1.5 * min(span.service for span in spans)


async def test_failures_become_outcomes_and_none_is_dropped():
    """An ApiError is named with its status, other errors by their type, and the rest is answered."""
    broken = Gated({0: ApiError(503, "no"), 2: DeadlineExceeded("late", phase="slot"), 3: ZeroDivisionError()})
    spans = await burst(broken, Workload(requests=5, latency=0.01))
    assert [s.outcome for s in spans] == ["ApiError 503", "ok", "DeadlineExceeded", "ZeroDivisionError", "ok"]


async def test_a_request_cancelled_by_its_client_is_a_failed_request():
    """A CancelledError that nobody asked for is an outcome, and does not end the burst."""
    spans = await burst(Gated({1: asyncio.CancelledError()}), Workload(requests=3, latency=0.01))
    assert [s.outcome for s in spans] == ["ok", "CancelledError", "ok"]


async def test_cancelling_the_burst_ends_it():
    """Whoever awaits the burst can stop it, and nothing continues in the background."""
    client = Gated(gap=30)
    task = asyncio.create_task(burst(client, Workload(requests=3)))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert client.now == 0


@pytest.mark.parametrize("callers, at_once", [(None, 7), (3, 3), (50, 7)])
async def test_callers_ask_again_only_when_answered(callers, at_once):
    """So many callers, so many requests under way, and all requests are made."""
    client = Gated()
    spans = await burst(client, Workload(requests=7, callers=callers))
    assert (client.calls, client.peak, len(spans)) == (7, at_once, 7)


async def test_a_client_that_tells_nothing_has_unknown_waits():
    """Without a word about slots, wait and service are unknown; latency is not."""

    class Silent:
        async def select(self, table, *, columns, limit):
            await asyncio.sleep(0)

    span = (await burst(Silent(), Workload(requests=1)))[0]
    assert (span.wait, span.service, span.ok) == (None, None, True)


async def test_a_slot_may_be_taken_in_a_thread():
    """The moment is kept when a thread tells it, as it is for clients with an executor."""

    class Threaded:
        async def select(self, table, *, columns, limit):
            tell = slot_taken.get()
            await asyncio.to_thread(lambda: (tell(), threading.Event().wait(0.01)))

    span = (await burst(Threaded(), Workload(requests=1)))[0]
    assert span.service is not None
    assert span.service >= 0.009
