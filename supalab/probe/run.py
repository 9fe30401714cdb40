"""Probe a client: make a few calls in three ways, watch the process meanwhile, and return the verdict.

A quiet moment → one warm-up call → some calls one after another → 20 calls at once → 50 at once → 50 again, if there is
no verdict yet → everything is restored.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from statistics import median
from typing import Any, TypeVar
from urllib.parse import urlsplit

from supalab.errors import LabError, SettingsError
from supalab.lab.conditions import Conditions
from supalab.lab.handle import Lab
from supalab.lab.witness import Witness
from supalab.measure.record import rounded
from supalab.probe import look
from supalab.probe.judge import CANNOT_TELL, SOMEBODY_ELSE, judge
from supalab.probe.seen import Burst, Seen, row
from supalab.probe.subject import Call, PlainCall, Subject, awaited, reason
from supalab.probe.verdict import Verdict, concluded

#: Receives the progress of a probe, from 0 to 1, and its current step.
Tell = Callable[[float, str], None]

SIZES, CALLS_IN_SEQUENCE = (20, 50), 6
# A shorter latency is too short compared with a client's work for a request. The second burst's latency is at least
# ROOM times as long as the first burst needed to send its requests, in proportion to its size.
LATENCY_S, LONGEST_LATENCY_S, QUIET_LATENCY_S = 0.3, 0.6, 0.1
ROOM = 2.5 * 2.5
WARM_S, SEQUENCE_S, BUDGET_S = 5.0, 1.5, 4.0
QUIET_S, NOT_QUIET_S, REST_S, SETTLE_S = 0.12, 0.5, 0.06, 0.5
# A burst is watched for so many latencies, or for longer if the lab has seen almost nothing.
LATENCIES, FEW, FEW_S, ASK_EVERY_S = 3, 3, 2.0, 0.1
# Calls that still wait without a latency get so many seconds, and cancelled calls get the same again.
DRAIN_S, CANCEL_S = 2.0, 0.5
# Requests of other threads, if this part of the lab's unexplained ones covers them, while others wait for the rest.
COVERED, OTHERS = 0.8, 0.2
# A loop is blocked for milliseconds if its longest pause in each call is so many times that of idle moments.
BEAT_S, IDLE_S, BLOCKED = 0.001, 0.02, 2

T = TypeVar("T")
Outcome = BaseException | None
_running = threading.Lock()


class Trouble(Exception):
    """Why a probe cannot go on, and its client cannot be judged."""


async def probe(
    what: Any,
    *,
    lab: Lab | None = None,
    method: str | None = None,
    args: Sequence[Any] | None = None,
    name: str | None = None,
    progress: Tell | None = None,
    in_environment: bool = False,
) -> Verdict:
    """Find out what a client really is (blocking, fake async, real async, …), with the evidence; takes 1 to 4 seconds.

    ``what`` is a class or function that creates the client from a url and a key (``await probe(SupabaseAsync)``); or an
    async callable without arguments that makes one request each time; or a client object, whose ``method`` (``select``)
    is called with ``args`` (``("contests",)``). The last two send requests to your ``lab``, so pass it: ``await
    probe(lambda: db.select("contests"), lab=lab)``. A client that the probe created is closed. ``in_environment``:
    SUPABASE_URL and SUPABASE_KEY are set to the lab's, so a factory needs no arguments.

    The lab's conditions are changed during the probe and then restored; its counters are reset. No thread or timer
    remains, and the one audit hook of this process does nothing until the next probe. A client that never returns is
    cancelled after some seconds, unless it blocks the loop permanently, which nothing in this process can end.

    Raises SettingsError for an argument that cannot be probed, with the line to write instead, and LabError if the lab
    has ended.
    """
    if lab is not None and not isinstance(lab, Lab):
        raise SettingsError(f"lab is a {type(lab).__name__}: give the Lab that your client uses, as lab=lab")
    subject = Subject(what, lab is not None, in_environment, method, args, name)
    began, when = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    tell = progress or (lambda share, doing: None)
    # Two probes at once would take each other's threads for the client's.
    if not _running.acquire(blocking=False):
        raise SettingsError("another probe runs in this process: await one after the other")
    async with AsyncExitStack() as stack:
        stack.callback(_running.release)
        tell(0.0, "starting")
        where: Lab = lab if lab is not None else await stack.enter_async_context(Lab())
        stack.callback(_restore, where, where.conditions)
        # It ends before the conditions are restored, because no step of ours may come after that.
        helper = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="supalab-probe"))
        where.set(latency=0.0, jitter=0.0, error_rate=0.0)
        call = await stack.enter_async_context(subject.opened(where.url, where.key))
        seen = await _Probe(call, where, helper, tell).run()
        seen = replace(seen, trouble=seen.trouble.replace(where.key, "(the key)"))
    tell(1.0, "done")
    seen = replace(seen, unclosed=subject.unclosed)
    return concluded(subject.name, seen, round(time.perf_counter() - began, 3), when)


def _restore(lab: Lab, before: Conditions) -> None:
    with suppress(LabError):  # the lab has ended: the earlier error is the one to report
        lab.set(latency=before.latency, jitter=before.jitter, error_rate=before.error_rate)


async def _outcome(call: Call) -> Outcome:
    """Make one call and return its error, even that of a client that calls sys.exit() or cancels its own call."""
    task = asyncio.current_task()
    try:
        await awaited(call())
    except (Exception, SystemExit, asyncio.CancelledError) as error:
        if isinstance(error, asyncio.CancelledError) and task and task.cancelling():
            raise
        return error
    return None


async def _ended(calls: Collection[asyncio.Task[Outcome]], seconds: float) -> tuple[list[Outcome], int]:
    """Give calls some seconds to end, and cancel the others; return the outcomes, and how many were cancelled."""
    waiting = {call for call in calls if not call.done()}
    if waiting:
        _, waiting = await asyncio.wait(waiting, timeout=max(seconds, 0.0))
    for call in waiting:
        call.cancel()
    if waiting:
        await asyncio.wait(waiting, timeout=CANCEL_S)
    return [call.result() for call in calls if call not in waiting and not call.cancelled()], len(waiting)


class _Probe:
    """The steps of one probe. Blocking work runs in the one thread of ``helper``."""

    def __init__(self, call: Call, lab: Lab, helper: Executor, tell: Tell) -> None:
        self._call, self._lab, self._helper, self._tell = call, lab, helper, tell
        self._address = look.LabAddress(urlsplit(lab.url).port or 0, lab.pid)
        self._loop = asyncio.get_running_loop()
        self._watcher = look.Watcher(self._loop, self._address)
        # The work of other threads that send their own requests.
        self._background: set[look.Key] = set()
        self._seen = Seen(
            loop=f"{type(self._loop).__module__}.{type(self._loop).__name__}",
            loop_shows_sockets=look.watched_sockets(self._loop, self._address) is not None,
            # uvloop and the loop of Windows connect without an audit event.
            connects_heard=isinstance(self._loop, asyncio.SelectorEventLoop),
        )

    async def run(self) -> Seen:
        """Take all steps, or those before the first trouble."""
        began, latency = time.perf_counter(), LATENCY_S
        try:
            self._tell(0.05, "looking at a quiet moment")
            await self._quiet()
            await self._warm()
            self._tell(0.2, "one call after another")
            await self._sequence()
            await self._do(self._watcher.learn_rest, REST_S)
            for turn, size in enumerate(SIZES):
                # The verdict must come in time: the remaining time limits the latency.
                left = BUDGET_S - (time.perf_counter() - began)
                if turn and left < LATENCIES * LATENCY_S:
                    break
                self._tell(0.3 + 0.3 * turn, f"{size} calls at once")
                burst = await self._burst(size, min(latency, left / LATENCIES) if turn else latency)
                latency = min(max(latency, ROOM * _until_peak(burst)), LONGEST_LATENCY_S)
            if judge(row(self._seen))[0] == CANNOT_TELL:  # on a busy machine much may have been missed: look longer
                self._tell(0.9, "one more look")
                await self._burst(SIZES[-1], LONGEST_LATENCY_S)
        except Trouble as trouble:
            return replace(self._seen, trouble=str(trouble))
        return self._seen

    def _do(self, action: Callable[..., T], *words: Any) -> asyncio.Future[T]:
        return self._loop.run_in_executor(self._helper, action, *words)

    async def _fresh(self, latency: float) -> None:
        """Set the lab's latency and reset its counters."""
        await self._do(partial(self._lab.set, latency=latency))
        await self._do(self._lab.reset)

    async def _settled(self, seconds: float = SETTLE_S) -> Witness:
        """Wait a moment until the lab has nothing in flight; return its counters."""
        until = time.perf_counter() + seconds
        while True:
            witness = await self._do(self._lab.witness)
            if not witness.current or time.perf_counter() > until:
                return witness
            await asyncio.sleep(0.02)

    async def _quiet(self) -> None:
        """Learn where threads are while nothing happens, and which of them send requests."""
        await self._settled(LONGEST_LATENCY_S + SETTLE_S)  # requests cancelled before the probe may still be in flight
        await self._fresh(QUIET_LATENCY_S)
        await self._do(self._watcher.learn_rest, QUIET_S)
        witness = await self._do(self._lab.witness)
        if witness.current or witness.served:
            await self._do(self._lab.reset)
            await self._do(self._watcher.watch, lambda seconds: seconds > NOT_QUIET_S)
            busy = (await self._do(self._lab.witness)).busy_s
            spent = {key: seconds for key, seconds in self._watcher.seconds.items() if key in self._watcher.names}
            self._background = {key for key, seconds in spent.items() if seconds > 0}
            if not self._background or sum(spent.values()) <= busy / 2:
                raise Trouble(SOMEBODY_ELSE)
        await self._fresh(0.0)

    async def _one(self, patience: float) -> None:
        """Make one call; raises Trouble if it fails or does not return."""
        outcomes, lost = await _ended([asyncio.create_task(_outcome(self._call))], patience)
        if lost:
            raise Trouble(f"one call at a time did not return within {patience:.0f} s")
        error = outcomes[0]
        if isinstance(error, PlainCall):
            raise error
        if error:
            raise Trouble(f"a call failed with {reason(error)}")

    async def _warm(self) -> None:
        """Make the first call, which may create a pool, and check at the lab that its request arrived."""
        before = await self._settled()
        await self._one(WARM_S)
        witness = await self._settled()
        if witness.served + witness.current > before.served:
            return
        if witness.connections > before.connections:
            raise Trouble(f"its first call reached the lab, but was refused: use the lab's own url, {self._lab.url}")
        raise Trouble("its first call returned, but the lab saw no request: does it use another server, or none?")

    async def _sequence(self) -> None:
        """Make a few calls one after another; count requests and new connections, and time how long the loop blocks."""
        await self._do(self._lab.reset)
        blocked, idle = list[float](), list[float]()
        until = time.perf_counter() + SEQUENCE_S
        with look.connects() as connects, look.Heartbeat(BEAT_S) as heart:
            while len(blocked) < CALLS_IN_SEQUENCE and (time.perf_counter() < until or not blocked):
                await asyncio.sleep(IDLE_S)
                idle.append(heart.longest_block_s())
                await self._one(SEQUENCE_S)
                blocked.append(heart.longest_block_s())
        witness = await self._settled()
        if not witness.served:
            raise Trouble("only its first call reached the lab: it seems to cache the response")
        self._seen = replace(
            self._seen,
            calls=len(blocked),
            # Here, requests of other threads look like the client's, so one request for each call is assumed.
            requests=len(blocked) if self._background else witness.served,
            connections=max(witness.connections - len(self._others(connects)), 0),
            # In each call, and for longer than without calls: on a busy machine some calls may be late, but hardly all.
            call_blocks_s=round(min(blocked), 6) if min(blocked) > BLOCKED * median(idle) else 0.0,
        )

    async def _burst(self, size: int, latency: float) -> Burst:
        """Start calls at once at this latency, watch, and return what was seen and how they ended.

        After a while the lab's latency is removed, so that waiting calls end normally: no call has to be cancelled, and
        a client that blocks the loop cannot delay its own verdict.
        """
        await self._fresh(latency)
        calls: list[asyncio.Task[Outcome]] = []
        try:
            with look.connects() as connects, look.Heartbeat() as heart:
                watching = self._do(self._watch, latency)
                try:
                    for _ in range(size):
                        calls.append(asyncio.create_task(_outcome(self._call)))
                        await asyncio.sleep(0)  # as in a service: each call has begun before the next one starts
                    asyncio.gather(*calls, return_exceptions=True).add_done_callback(lambda _: self._watcher.stop())
                    witness = await watching
                finally:
                    self._watcher.stop()
                    await asyncio.wait({watching})
            outcomes, lost = await _ended(calls, DRAIN_S)
        finally:
            await _ended(calls, 0.0)
        after = await self._settled()
        failed = Counter(type(error).__name__ for error in outcomes if error)
        longest, watched = max(heart.pauses), self._watcher.watched_s
        burst = self._of_client(witness, connects, after.served + after.current, size, latency)
        numbers = burst | {
            "calls": size, "latency_s": latency, "refused": witness.refused, "watched": watched, "lost": lost,
            "finished": outcomes.count(None), "blocked": min(heart.blocked_s, watched),
            "gap_s": longest.seconds, "gap_cpu_s": longest.cpu_s,
        }  # fmt: skip
        timeline = tuple((round(second, 6), number) for second, number in witness.timeline)
        made = Burst(rounded(numbers), timeline, dict(failed))
        names = tuple(sorted({self._watcher.names[key] for key in self._background})[:3])
        self._seen = replace(self._seen, bursts=(*self._seen.bursts, made), background=names)
        if lost and not outcomes.count(None):
            raise Trouble(f"none of {size} calls at once came back within {DRAIN_S:.0f} s")
        return made

    def _watch(self, latency: float) -> Witness:
        """Watch, read the lab's counters at the end, then remove the latency."""
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

    def _of_client(
        self, witness: Witness, connects: Sequence[look.Connect], requests: int, size: int, latency: float
    ) -> dict[str, float]:
        """Return the numbers of a burst without the requests that other threads of this process sent meanwhile."""
        seconds, most = self._watcher.seconds, self._watcher.most
        excess = requests - size * round(self._seen.requests_per_call)
        background = self._background_in(latency, witness.busy_s, excess)
        self._background |= background
        spent = sum(seconds[key] for key in background)
        waiting = {key: seconds[key] for key in self._watcher.names if key not in background}
        # A loop that never watched two sockets at once is a thread that waits for one response.
        loops = {key for key in waiting if key[0] == "loop" and most[key] > 1}
        at_the_lab = [one for one in connects if one.port == self._address.port]
        others = self._others(connects)
        by_loop = sum(one.thread == threading.get_ident() for one in at_the_lab if one not in others)
        return {
            **{name: found for name, found in seconds.items() if isinstance(name, str)},
            "threads_read": sum(found for key, found in waiting.items() if key not in loops),
            "other_loops": sum(found for key, found in waiting.items() if key in loops),
            "background": spent,
            "busy": max(witness.busy_s - spent, 0.0),
            "peak": max(witness.peak - sum(most[key] for key in background), 0),
            "requests": requests - max(excess, 0) if background else requests,
            "connections": max(witness.connections - len(others), 0),
            "connects_loop": by_loop,
            "connects_threads": len(at_the_lab) - len(others) - by_loop,
        }

    def _background_in(self, latency: float, busy_s: float, excess: float) -> set[look.Key]:
        """Return other threads' work that is not the client's: it was there before, or there are too many requests.

        Too many means more than the calls make; and other waiters must be seen for the requests of the client.
        """
        found, names = set[look.Key](), self._watcher.names
        for seconds, key in sorted(((self._watcher.seconds[key], key) for key in names), key=lambda pair: pair[0]):
            covered = key[0] == "read" and excess >= max(1, COVERED * seconds / latency)
            if 0 < seconds < (1 - OTHERS) * busy_s and (key in self._background or covered):
                found.add(key)
                excess -= seconds / latency
        return found

    def _others(self, connects: Sequence[look.Connect]) -> list[look.Connect]:
        """Return the connections to the lab that other threads opened for their own requests."""
        known, port = self._background, self._address.port
        return [one for one in connects if one.port == port and known & {("read", one.work), ("loop", one.thread)}]


def _until_peak(burst: Burst) -> float:
    """Return the seconds until the most requests were on their way, at most the latency: later peaks are a queue's."""
    if burst["blocked"] > burst["watched"] / 2:
        return 0.0  # a blocked loop is not slow to start
    first = next((second for second, number in burst.timeline if number >= burst["peak"]), 0.0)
    return min(first, burst["latency_s"])
