"""One burst under observation: a call and its size flow in, everything that was seen of it flows out.

The watcher ends the burst after a while by taking the lab's latency away, so that what still waits flows off by
itself: nobody's calls have to be cancelled, and a client that blocks the loop cannot hold up its own judgement.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field
from typing import TypeVar
from urllib.parse import urlsplit

from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.probe.hook import EVENTS, Heard, listening
from supalab.measure.probe.pulse import Pulse, stood_still
from supalab.measure.probe.seen import Burst, micro
from supalab.measure.probe.sockets import LabAddress
from supalab.measure.probe.subject import Call, PlainCall, awaited
from supalab.measure.probe.watch import Rest, Watcher

__all__ = ["Bench", "Outcomes", "attempt", "burst", "end"]

# A burst is watched for so many latencies; while the lab has seen almost nothing, for longer.
LATENCIES = 4
PATIENCE_S = 2.5
FEW = 3
ASK_EVERY_S = 0.1
# What still waits when the latency is gone has so long, and a cancelled call so long again.
DRAIN_S = 2.5
CANCEL_S = 0.5

T = TypeVar("T")


@dataclass
class Outcomes:
    """How calls ended: those that returned, those that raised (by name), and the last words of an error."""

    finished: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    last_words: str = ""
    plain: PlainCall | None = None


@dataclass(frozen=True)
class Bench:
    """What every step of a probe needs: the lab, a thread of the probe's own, and where threads stand at rest."""

    lab: Lab
    hands: Executor
    at_rest: Rest

    @property
    def address(self) -> LabAddress:
        """The lab's end of a connection."""
        return LabAddress(urlsplit(self.lab.url).port or 0, self.lab.pid)

    async def by_hand(self, action: Callable[[], T]) -> T:
        """Do what blocks in the probe's own thread."""
        return await asyncio.get_running_loop().run_in_executor(self.hands, action)


async def attempt(call: Call, outcomes: Outcomes) -> None:
    """Make one call and note how it ended."""
    try:
        await awaited(call())
        outcomes.finished += 1
    except PlainCall as error:
        outcomes.plain = error
    except Exception as error:
        outcomes.failed[type(error).__name__] += 1
        outcomes.last_words = str(error).strip().partition("\n")[0]


async def end(calls: set[asyncio.Task[None]], seconds: float) -> int:
    """Give calls some seconds to end, cancel the rest, and return how many that were."""
    waiting = {call for call in calls if not call.done()}
    if waiting:
        _, waiting = await asyncio.wait(waiting, timeout=max(seconds, 0.0))
    for call in waiting:
        call.cancel()
    if waiting:
        await asyncio.wait(waiting, timeout=CANCEL_S)
    return len(waiting)


async def burst(call: Call, size: int, latency: float, bench: Bench) -> Burst:
    """Start ``size`` calls at once at this latency; return what was seen, and how they ended."""
    await bench.by_hand(lambda: bench.lab.set(latency=latency))
    await bench.by_hand(bench.lab.reset)
    watcher = Watcher(asyncio.get_running_loop(), bench.address, bench.at_rest)
    pulse, outcomes, calls = Pulse(), Outcomes(), set[asyncio.Task[None]]()
    with listening() as heard:
        watching = asyncio.ensure_future(bench.by_hand(lambda: _watch(watcher, bench.lab, latency)))
        try:
            pulse.start()
            await _start(call, size, calls, outcomes, watcher)
            witness = await watching
            pulse.stop()
            news = tuple(heard)
            lost = await end(calls, DRAIN_S)
        finally:
            watcher.stop()
            pulse.stop()
            await end(calls, 0.0)
            await asyncio.wait({watching})
    return _burst(size, latency, watcher, witness, pulse, _Ways.of(news, bench.address), outcomes, lost)


async def _start(call: Call, size: int, calls: set[asyncio.Task[None]], outcomes: Outcomes, watcher: Watcher) -> None:
    """Start the calls; the watcher stops when the last one has ended."""
    left = size

    def ended(_: object) -> None:
        nonlocal left
        left -= 1
        if not left:
            watcher.stop()

    for _ in range(size):
        task = asyncio.create_task(attempt(call, outcomes))
        task.add_done_callback(ended)
        calls.add(task)
        await asyncio.sleep(0)  # as callers come to a service: each has begun before the next one comes


def _watch(watcher: Watcher, lab: Lab, latency: float) -> Witness:
    """Watch, take the lab's reading at the very end of it, then let everything that still waits flow off."""
    asked = [0.0]

    def enough(seconds: float) -> bool:
        if seconds < LATENCIES * latency or seconds - asked[0] < ASK_EVERY_S:
            return False
        asked[0] = seconds
        so_far = lab.witness()
        return so_far.served + so_far.current >= FEW or seconds > PATIENCE_S

    try:
        watcher.run(enough)
        return lab.witness()
    finally:
        lab.set(latency=0.0)


@dataclass(frozen=True, slots=True)
class _Ways:
    """What Python's sockets did on the way to the lab: connections and look-ups, by the loop's thread or by others."""

    connects_loop: int
    connects_threads: int
    lookups_loop: int
    lookups_threads: int

    @classmethod
    def of(cls, news: tuple[Heard, ...], lab: LabAddress) -> _Ways:
        """Count the news that are about the lab."""
        me = threading.get_ident()
        counts = Counter((one.event, one.thread == me) for one in news if one.port == lab.port)
        connect, look_up = EVENTS
        return cls(counts[connect, True], counts[connect, False], counts[look_up, True], counts[look_up, False])


def _burst(
    size: int, latency: float, watcher: Watcher, witness: Witness, pulse: Pulse, ways: _Ways, how: Outcomes, lost: int
) -> Burst:
    longest = pulse.longest
    whole = Burst(
        calls=size,
        latency_s=latency,
        watched_s=watcher.watched_s,
        peak=witness.peak,
        served=witness.served,
        connections=witness.connections,
        refused=witness.refused,
        busy_s=witness.busy_s,
        timeline=witness.timeline,
        waits=watcher.waits,
        looks=watcher.looks,
        threads_most=watcher.threads_most,
        processes_most=watcher.processes_most,
        **asdict(ways),
        stood_s=min(stood_still(pulse.gaps), watcher.watched_s),
        gap_s=longest.seconds,
        gap_cpu_s=longest.cpu_s,
        finished=how.finished,
        failed=dict(how.failed),
        lost=lost,
    )
    return micro(whole)
