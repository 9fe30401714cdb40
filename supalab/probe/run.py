"""Probe a client: make a few calls in three ways, watch the process meanwhile, and give the verdict.

A quiet moment → one warm call → some calls one after another → 20 calls at once → 50 at once → everything is put back.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from statistics import median
from typing import Any, TypeVar
from urllib.parse import urlsplit

from supalab.errors import LabError, SettingsError
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.instruments import machine, versions
from supalab.measure.record import rounded
from supalab.probe import look
from supalab.probe.judge import SOMEBODY_ELSE, judge
from supalab.probe.seen import Burst, Seen
from supalab.probe.subject import Call, PlainCall, awaited, opened, understood
from supalab.probe.verdict import Verdict, evidence, numbers, sentences

__all__ = ["Tell", "probe"]

#: Receives the progress of a probe, from 0 to 1, and its current step.
Tell = Callable[[float, str], None]

SIZES, CALLS_IN_SEQUENCE = (20, 50), 6
# A shorter latency is too short compared with what a client does for a request. The second burst's latency is at least
# ROOM times as long as the first one took to be on its way, for its greater size too.
LATENCY_S, LONGEST_LATENCY_S, QUIET_LATENCY_S = 0.3, 0.9, 0.1
ROOM = 2.5 * 2.5
WARM_S, SEQUENCE_S, BUDGET_S = 5.0, 2.0, 6.5
QUIET_S, NOT_QUIET_S, REST_S, SETTLE_S = 0.12, 0.5, 0.06, 0.5
# A burst is watched for so many latencies; while the lab has seen almost nothing, for longer.
LATENCIES, FEW, FEW_S, ASK_EVERY_S = 4, 3, 2.5, 0.1
# What still waits when the latency is gone has so long, and a cancelled call so long again.
DRAIN_S, CANCEL_S = 2.5, 0.5
# Requests of other threads, if this part of the lab's unexplained ones covers them, while others wait for the rest.
COVERED, OTHERS = 0.8, 0.2
# To see a loop that is blocked for milliseconds: its longest pause in each call is so many times that of idle moments.
BEAT_S, IDLE_S, BLOCKED = 0.001, 0.02, 2

T = TypeVar("T")
_running = threading.Lock()


async def probe(
    what: Any,
    *,
    lab: Lab | None = None,
    method: str | None = None,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    name: str | None = None,
    progress: Tell | None = None,
    in_environment: bool = False,
) -> Verdict:
    """Find out what a client really is: blocking, fake async, real async, …, with the evidence; takes 2 to 5 seconds.

    ``what`` is a class or function that makes the client from a url and a key (``await probe(SupabaseAsync)``); or an
    async callable without arguments that makes one request each time; or a client object, of which ``method``
    (``select``) is called with ``args`` (``("contests",)``) and ``kwargs``. The last two send requests to your ``lab``,
    so pass it: ``await probe(lambda: db.select("contests"), lab=lab)``. A client that the probe made is closed.
    ``in_environment``: SUPABASE_URL and SUPABASE_KEY are set to the lab's, so a factory may do without arguments.

    The lab's conditions are changed during the probe and then restored; its counters are reset. No thread or timer
    remains, and the one audit hook of this process does nothing until the next probe. A client that never returns is
    cancelled after some seconds, unless it blocks the loop permanently, which nothing in this process can end.

    Raises SettingsError for an argument that cannot be probed, with the line to write instead, and LabError if the lab
    has ended.
    """
    if lab is not None and not isinstance(lab, Lab):
        raise SettingsError(f"lab is a {type(lab).__name__}: give the Lab that your client uses, as lab=lab")
    given = lab is not None
    subject = understood(what, given, method=method, args=args, kwargs=kwargs, name=name, in_environment=in_environment)
    began, when = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    tell = progress or (lambda share, doing: None)
    with _alone():
        async with AsyncExitStack() as stack:
            tell(0.0, "starting")
            where: Lab = lab if lab is not None else await stack.enter_async_context(Lab())
            helper = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="supalab-probe"))
            await stack.enter_async_context(_calm(where, helper))
            call = await stack.enter_async_context(opened(subject, where.url, where.key))
            seen = await _Probe(call, where, helper, tell).run()
            if seen.trouble:
                seen = replace(seen, trouble=seen.trouble.replace(where.key, "(the key)"))
    tell(1.0, "done")
    finding, took = judge(seen), round(time.perf_counter() - began, 3)
    words = (sentences(finding, seen), evidence(seen), numbers(seen))
    return Verdict(subject.name, finding.kind, finding.remarks, *words, seen, took, when, machine(), versions())


@contextmanager
def _alone() -> Iterator[None]:
    """Two probes at once would take each other's threads for the client's."""
    if not _running.acquire(blocking=False):
        raise SettingsError("another probe runs in this process: await one after the other")
    try:
        yield
    finally:
        _running.release()


@asynccontextmanager
async def _calm(lab: Lab, helper: ThreadPoolExecutor) -> AsyncIterator[None]:
    """Take latency, jitter and errors away, and put them back, also when the probe is cancelled."""
    loop = asyncio.get_running_loop()
    before = await loop.run_in_executor(helper, lambda: lab.conditions)
    try:
        await loop.run_in_executor(helper, lambda: lab.set(latency=0.0, jitter=0.0, error_rate=0.0))
        yield
    finally:
        helper.shutdown(wait=True)  # no step of ours may come after this one
        with suppress(LabError):  # the lab has ended: the earlier error is the one to report
            lab.set(latency=before.latency, jitter=before.jitter, error_rate=before.error_rate)


class _Outcomes:
    """How calls ended: those that returned, those that raised (by name), and the last error."""

    def __init__(self) -> None:
        self.finished, self.failed = 0, Counter[str]()
        self.error: Exception | SystemExit | None = None

    async def of(self, call: Call) -> None:
        """Make one call and note how it ended."""
        try:
            await awaited(call())
            self.finished += 1
        except (Exception, SystemExit) as error:  # a client that calls sys.exit() does not end the probe
            self.failed[type(error).__name__] += 1
            self.error = error


async def _end(calls: set[asyncio.Task[None]], seconds: float) -> int:
    """Give calls some seconds to end, cancel the rest, and return how many those were."""
    waiting = {call for call in calls if not call.done()}
    if waiting:
        _, waiting = await asyncio.wait(waiting, timeout=max(seconds, 0.0))
    for call in waiting:
        call.cancel()
    if waiting:
        await asyncio.wait(waiting, timeout=CANCEL_S)
    return len(waiting)


class _Probe:
    """The steps of one probe. Blocking work runs in the one thread of ``helper``."""

    def __init__(self, call: Call, lab: Lab, helper: Executor, tell: Tell) -> None:
        self._call, self._lab, self._helper, self._tell = call, lab, helper, tell
        self._address = look.Lab(urlsplit(lab.url).port or 0, lab.pid)
        loop = asyncio.get_running_loop()
        self._watcher = look.Watcher(loop, self._address)
        self._background: set[look.Key] = set()
        self._seen = Seen(
            loop=f"{type(loop).__module__}.{type(loop).__name__}",
            loop_shows_sockets=look.watched_sockets(loop, self._address) is not None,
            connects_heard=look.hears_connects(loop),
        )

    async def run(self) -> Seen:
        """Take all steps, or those until there is trouble."""
        began = time.perf_counter()
        self._tell(0.05, "looking at a quiet moment")
        trouble = await self._quiet() or await self._warm()
        if not trouble:
            self._tell(0.2, "one call after another")
            trouble = await self._sequence()
        if trouble:
            return replace(self._seen, trouble=trouble)
        await self._in_helper(lambda: self._watcher.learn_rest(REST_S))
        latency = LATENCY_S
        for turn, size in enumerate(SIZES):
            # A verdict in time, from what there is: the time that is left bounds the latency.
            left = BUDGET_S - (time.perf_counter() - began)
            if turn and left < LATENCIES * LATENCY_S:
                break
            latency = min(latency, left / LATENCIES) if turn else latency
            self._tell(0.3 + 0.3 * turn, f"{size} calls at once")
            burst = await self._burst(size, latency)
            names = tuple(sorted({self._watcher.names[key] for key in self._background})[:3])
            self._seen = replace(self._seen, bursts=(*self._seen.bursts, burst), background=names)
            if burst.lost and not burst.finished:
                return replace(self._seen, trouble=f"none of {size} calls at once came back within {DRAIN_S:.0f} s")
            latency = min(max(latency, ROOM * _until_peak(burst)), LONGEST_LATENCY_S)
        return self._seen

    async def _in_helper(self, action: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._helper, action)

    async def _settled(self, seconds: float = SETTLE_S) -> Witness:
        """Wait a moment until the lab has nothing in flight; return its counters."""
        until = time.perf_counter() + seconds
        while True:
            witness = await self._in_helper(self._lab.witness)
            if not witness.current or time.perf_counter() > until:
                return witness
            await asyncio.sleep(0.02)

    async def _quiet(self) -> str | None:
        """Learn where threads are when nothing happens, and which of them send requests."""
        await self._settled(LONGEST_LATENCY_S + SETTLE_S)  # what was cancelled before we came may still be in flight
        await self._in_helper(lambda: self._lab.set(latency=QUIET_LATENCY_S))
        await self._in_helper(self._lab.reset)
        await self._in_helper(lambda: self._watcher.learn_rest(QUIET_S))
        witness = await self._in_helper(self._lab.witness)
        trouble = None
        if witness.current or witness.served:
            await self._in_helper(self._lab.reset)
            await self._in_helper(lambda: self._watcher.watch(lambda seconds: seconds > NOT_QUIET_S))
            busy = (await self._in_helper(self._lab.witness)).busy_s
            seconds = {key: spent for key, spent in self._watcher.tally.seconds.items() if key in self._watcher.names}
            self._background = {key for key, spent in seconds.items() if spent > 0}
            trouble = None if self._background and sum(seconds.values()) > busy / 2 else SOMEBODY_ELSE
        await self._in_helper(lambda: self._lab.set(latency=0.0))
        return trouble

    async def _warm(self) -> str | None:
        """Make the first call, which may create a pool, and check at the lab that its request arrived."""
        outcomes, before = _Outcomes(), await self._settled()
        lost = await _end({asyncio.create_task(outcomes.of(self._call))}, WARM_S)
        if isinstance(outcomes.error, PlainCall):
            raise outcomes.error
        witness = await self._settled()
        came = witness.served + witness.current - before.served
        if outcomes.error:
            words = str(outcomes.error).strip().partition("\n")[0]
            return f"its first call failed with {type(outcomes.error).__name__}" + (f": {words}" if words else "")
        if lost:
            reached = "reached the lab, but" if came else "did not reach the lab, and it"
            return f"its first call {reached} did not return within {WARM_S:.0f} s"
        if came:
            return None
        if witness.connections > before.connections:
            return f"its first call came to the lab, but was refused: use the lab's own url, {self._lab.url}"
        return "its first call returned, but the lab saw no request: does it use another server, or none at all?"

    async def _sequence(self) -> str | None:
        """Make a few calls one after another: how many requests and new connections, how long the loop is blocked."""
        await self._in_helper(self._lab.reset)
        outcomes, began = _Outcomes(), time.perf_counter()
        blocked, idle = list[float](), list[float]()
        with look.connects() as connects, look.Heartbeat(BEAT_S) as heart:
            for done in range(CALLS_IN_SEQUENCE):
                left = SEQUENCE_S - (time.perf_counter() - began)
                if done and left <= 0:
                    break
                await asyncio.sleep(IDLE_S)
                idle.append(heart.longest_block_s())
                if await _end({asyncio.create_task(outcomes.of(self._call))}, max(left, 1.0)):
                    return "its calls reached the lab, but one of them did not return"
                blocked.append(heart.longest_block_s())
        witness = await self._settled()
        if outcomes.error:
            name = type(outcomes.error).__name__
            return f"its calls fail: {outcomes.failed.total()} of {CALLS_IN_SEQUENCE}, with {name}"
        if not witness.served:
            return "only its first call reached the lab: it seems to keep the answer instead of asking again"
        others = sum(self._is_background(connect) for connect in connects)
        self._seen = replace(
            self._seen,
            calls=outcomes.finished,
            # Here the requests of other threads look like the client's: one request for each call is assumed.
            requests=outcomes.finished if self._background else witness.served,
            connections=max(witness.connections - others, 0),
            # In each call, and more than without one: on a busy machine any of them may be late, but hardly all.
            call_blocks_s=round(min(blocked), 6) if min(blocked) > BLOCKED * median(idle) else 0.0,
        )
        return None

    async def _burst(self, size: int, latency: float) -> Burst:
        """Start calls at once at this latency, watch, and return what was seen and how they ended.

        After a while the lab's latency is taken away, so that what still waits ends by itself: no call has to be
        cancelled, and a client that blocks the loop cannot delay its own verdict.
        """
        await self._in_helper(lambda: self._lab.set(latency=latency))
        await self._in_helper(self._lab.reset)
        outcomes, calls = _Outcomes(), set[asyncio.Task[None]]()
        try:
            with look.connects() as connects, look.Heartbeat() as heart:
                watching = asyncio.ensure_future(self._in_helper(lambda: self._watch(latency)))
                try:
                    for _ in range(size):
                        calls.add(asyncio.create_task(outcomes.of(self._call)))
                        await asyncio.sleep(0)  # as in a service: each call has begun before the next one starts
                    asyncio.gather(*calls, return_exceptions=True).add_done_callback(lambda _: self._watcher.stop())
                    witness = await watching
                finally:
                    self._watcher.stop()
                    await asyncio.wait({watching})
            lost = await _end(calls, DRAIN_S)
        finally:
            await _end(calls, 0.0)
        after = await self._settled()
        burst = self._without_background(size, latency, witness, after.served + after.current, connects)
        blocked, longest = min(heart.blocked_s, burst.watched_s), max(heart.pauses)
        pauses = rounded({"blocked_s": blocked, "gap_s": longest.seconds, "gap_cpu_s": longest.cpu_s})
        return replace(burst, finished=outcomes.finished, failed=dict(outcomes.failed), lost=lost, **pauses)

    def _watch(self, latency: float) -> Witness:
        """Watch, read the lab's counters at the very end of it, then take the latency away."""
        asked = 0.0

        def enough(seconds: float) -> bool:
            nonlocal asked
            if seconds < LATENCIES * latency or seconds - asked < ASK_EVERY_S:
                return False
            asked = seconds
            so_far = self._lab.witness()
            return so_far.served + so_far.current >= FEW or seconds > FEW_S

        try:
            self._watcher.watch(enough)
            return self._lab.witness()
        finally:
            self._lab.set(latency=0.0)

    def _without_background(
        self, size: int, latency: float, witness: Witness, requests: int, connects: Sequence[look.Connect]
    ) -> Burst:
        """Count the burst without the requests that other threads of this process send meanwhile."""
        tally, excess = self._watcher.tally, requests - size * round(self._seen.requests_per_call)
        found = self._background_in(tally, latency, witness.busy_s, excess)
        self._background |= found
        spent = sum(tally.seconds[key] for key in found)
        loops = [key for key in tally.seconds if key[0] == "loop" and key not in found]
        # A loop that never had two sockets at once is a thread that waits for one response.
        several = [key for key in loops if tally.most[key] > 1]
        single = sum(tally.seconds[key] for key in loops if key not in several)
        reads = sum(spent for key, spent in tally.seconds.items() if key[0] == "read" and key not in found)
        seconds = {name: spent for name, spent in tally.seconds.items() if isinstance(name, str)}
        seconds["threads_read"] = reads + single
        seconds["other_loops"] = sum(tally.seconds[key] for key in several)
        ours = [one for one in connects if one.port == self._address.port and not self._is_background(one)]
        by_loop = sum(one.thread == threading.get_ident() for one in ours)
        others = sum(one.port == self._address.port for one in connects) - len(ours)
        return Burst(
            calls=size,
            latency_s=rounded(latency),
            watched_s=rounded(self._watcher.watched_s),
            peak=max(witness.peak - sum(tally.most[key] for key in found), 0),
            requests=requests - max(excess, 0) if found else requests,
            connections=max(witness.connections - others, 0),
            refused=witness.refused,
            busy_s=rounded(max(witness.busy_s - spent, 0.0)),
            timeline=tuple((round(second, 6), number) for second, number in witness.timeline),
            background_s=rounded(spent),
            connects_loop=by_loop,
            connects_threads=len(ours) - by_loop,
            **rounded(seconds),
        )

    def _background_in(self, tally: look.Tally, latency: float, busy_s: float, excess: float) -> set[look.Key]:
        """The work of other threads that is not the client's: it was there before, or the lab served more requests.

        More, that is, than the calls make; and somebody else has to wait for those of the client.
        """
        found = set()
        for key in sorted(self._watcher.names, key=lambda key: tally.seconds[key]):
            seconds = tally.seconds[key]
            covered = key[0] == "read" and excess >= max(1, COVERED * seconds / latency)
            if 0 < seconds < (1 - OTHERS) * busy_s and (key in self._background or covered):
                found.add(key)
                excess -= seconds / latency
        return found

    def _is_background(self, connect: look.Connect) -> bool:
        at_the_lab = connect.port == self._address.port
        return at_the_lab and not self._background.isdisjoint({("read", connect.work), ("loop", connect.thread)})


def _until_peak(burst: Burst) -> float:
    """Seconds until the most were on their way, at most the latency: later peaks are a queue's, not a slow start's."""
    if burst.blocked_s > burst.watched_s / 2:
        return 0.0  # a blocked loop is not slow to start
    first = next((second for second, number in burst.timeline if number >= burst.peak), 0.0)
    return min(first, burst.latency_s)
