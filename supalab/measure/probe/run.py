"""The probe itself: a client and a lab flow in, it is asked for a few requests in three ways, a verdict flows out.

quiet → one warm call → some calls one after another → a burst of 20 → a burst of 50 → everything is put back.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from supalab.errors import LabError, SettingsError
from supalab.lab.conditions import Conditions
from supalab.lab.handle import Lab
from supalab.measure.machine import machine, versions
from supalab.measure.probe import seen as s
from supalab.measure.probe.burst import DRAIN_S, Bench, Outcomes, attempt, burst, end
from supalab.measure.probe.evidence import evidence, numbers
from supalab.measure.probe.judge import judge
from supalab.measure.probe.sockets import hears_connects, shows_sockets
from supalab.measure.probe.subject import Call, Subject, opened, understood
from supalab.measure.probe.verdict import Verdict
from supalab.measure.probe.watch import Rest, rest_places
from supalab.measure.probe.words import sentences

__all__ = ["Tell", "probe", "probed"]

#: Told how far a probe is, from 0 to 1, and what it does now.
Tell = Callable[[float, str], None]

SIZES = (20, 50)
# Under 0.2 s a request is too short beside what a client does for it.
LATENCY_S = 0.3
LONGEST_LATENCY_S = 0.9
# The second burst's latency is so many times what the first one took to be on its way, for its greater size too.
ROOM = 2.5 * 2.5
WARM_S, SEQUENCE_S, BUDGET_S = 5.0, 2.0, 8.0
CALLS_IN_SEQUENCE = 6
QUIET_S, REST_S = 0.12, 0.06
SETTLE_S = 0.5

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
) -> Verdict:
    """Say what a client really is: blocking, fake async, real async, …, with the evidence; takes 2 to 5 seconds.

    ``what`` is a class or function that makes the client from a url and a key (``await probe(SupabaseAsync)``); or an
    async callable without arguments that makes one request each time; or a client object, of which ``method``
    (``select``) is called with ``args`` (``("contests",)``) and ``kwargs``. The last two ask a ``lab`` of yours, so
    give it: ``await probe(lambda: db.select("contests"), lab=lab)``. A client that the probe made is closed again.

    The lab's conditions are changed meanwhile and put back; its record starts again. Nothing stays behind: no thread,
    no timer, and the one audit hook of this process sleeps until the next probe. A client that never returns is given
    up after some seconds, unless it blocks the loop for good, which nothing in this process can end.

    Raises SettingsError for what cannot be probed, with the line to write instead, and LabError if the lab is gone.
    """
    if lab is not None and not isinstance(lab, Lab):
        raise SettingsError(f"lab is a {type(lab).__name__}: give the Lab that your client asks, as lab=lab")
    subject = understood(what, lab_given=lab is not None, method=method, args=args, kwargs=kwargs, name=name)
    return await probed(subject, lab, progress)


async def probed(subject: Subject, lab: Lab | None = None, progress: Tell | None = None) -> Verdict:
    """Probe a subject in a lab, or in one of its own; see ``probe``."""
    began, when = time.perf_counter(), datetime.now(UTC).isoformat(timespec="seconds")
    tell = progress or (lambda share, doing: None)
    with _alone():
        async with AsyncExitStack() as stack:
            tell(0.0, "starting")
            where: Lab = lab if lab is not None else await stack.enter_async_context(Lab())
            hands = stack.enter_context(ThreadPoolExecutor(1, thread_name_prefix="supalab-probe"))
            await stack.enter_async_context(_calm(where, hands))
            call = await stack.enter_async_context(opened(subject, where.url, where.key))
            seen = await _see(call, Bench(where, hands, Rest(threading.get_ident())), tell)
            seen = replace(seen, trouble=_without(where.key, seen.trouble))
    tell(1.0, "done")
    finding = judge(seen)
    return Verdict(
        name=subject.name,
        kind=finding.kind,
        remarks=finding.remarks,
        sentences=sentences(finding, seen),
        evidence=evidence(seen),
        numbers=numbers(seen),
        seen=seen,
        seconds=round(time.perf_counter() - began, 3),
        when=when,
        machine=machine(),
        versions=versions(),
    )


def _without(key: str, text: str | None) -> str | None:
    return text and text.replace(key, "(the key)")


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
async def _calm(lab: Lab, hands: ThreadPoolExecutor) -> AsyncIterator[None]:
    """Take the lab's weather away, and put it back, also when the probe is cancelled."""
    before: Conditions = await asyncio.get_running_loop().run_in_executor(hands, lambda: lab.conditions)
    try:
        await asyncio.get_running_loop().run_in_executor(
            hands, lambda: lab.set(latency=0.0, jitter=0.0, error_rate=0.0)
        )
        yield
    finally:
        hands.shutdown(wait=True)  # no step of ours may come after this one
        with suppress(LabError):  # it is gone: what went wrong before that is the reason to tell
            lab.set(latency=before.latency, jitter=before.jitter, error_rate=before.error_rate)


async def _see(call: Call, bench: Bench, tell: Tell) -> s.Seen:
    loop = asyncio.get_running_loop()
    seen = s.Seen(
        loop=f"{type(loop).__module__}.{type(loop).__name__}",
        loop_shows_sockets=shows_sockets(loop),
        connects_heard=hears_connects(loop),
    )
    began = time.perf_counter()
    tell(0.05, "looking at a quiet moment")
    trouble = await _quiet(bench) or await _warm(call, bench)
    if trouble:
        return replace(seen, trouble=trouble)
    tell(0.2, "one call after another")
    sequence, trouble = await _sequence(call, bench)
    seen = replace(seen, sequence=sequence, trouble=trouble)
    if trouble:
        return seen
    bench.at_rest.add(await bench.by_hand(lambda: rest_places(REST_S)))
    latency = LATENCY_S
    for turn, size in enumerate(SIZES):
        left = BUDGET_S - (time.perf_counter() - began)
        if seen.bursts and left < 4 * latency + DRAIN_S:
            break  # a verdict in time, from what there is
        tell(0.3 + 0.3 * turn, f"{size} calls at once")
        one = await burst(call, size, latency, bench)
        seen = replace(seen, bursts=(*seen.bursts, one))
        if one.lost and not one.finished:
            return replace(seen, trouble=f"none of {size} calls at once came back within {DRAIN_S:.0f} s")
        latency = min(max(latency, ROOM * _until_peak(one)), LONGEST_LATENCY_S)
        await _settled(bench)
    return seen


async def _quiet(bench: Bench) -> str | None:
    """Learn where threads stand when nothing happens; somebody else's requests at the lab are no quiet."""
    await _settled(bench, LONGEST_LATENCY_S + SETTLE_S)  # what was cancelled before we came may still be in flight
    await bench.by_hand(bench.lab.reset)
    bench.at_rest.add(await bench.by_hand(lambda: rest_places(QUIET_S)))
    witness = await bench.by_hand(bench.lab.witness)
    if witness.current or witness.served:
        return "somebody else asks the same lab meanwhile: give the probe a lab of its own"
    return None


async def _warm(call: Call, bench: Bench) -> str | None:
    """Make the first call, which may make a pool, and ask the lab whether it came."""
    outcomes = Outcomes()
    lost = await end({asyncio.create_task(attempt(call, outcomes))}, WARM_S)
    if outcomes.plain is not None:
        raise outcomes.plain
    witness = await _settled(bench)
    if outcomes.failed:
        name = next(iter(outcomes.failed))
        return f"its first call failed with {name}" + (f": {outcomes.last_words}" if outcomes.last_words else "")
    if lost:
        reached = "reached the lab, but" if witness else "did not reach the lab, and it"
        return f"its first call {reached} did not return within {WARM_S:.0f} s"
    if witness:
        return None
    if (await bench.by_hand(bench.lab.witness)).connections:
        return f"its first call came to the lab's door and was not let in: ask by the lab's own url, {bench.lab.url}"
    return "its first call returned, but the lab saw no request: does it ask another server, or no server at all?"


async def _sequence(call: Call, bench: Bench) -> tuple[s.Sequence | None, str | None]:
    """Make a few calls one after another: how many requests, how many new connections."""
    await bench.by_hand(bench.lab.reset)
    outcomes, began = Outcomes(), time.perf_counter()
    for done in range(CALLS_IN_SEQUENCE):
        left = SEQUENCE_S - (time.perf_counter() - began)
        if done and left <= 0:
            break
        if await end({asyncio.create_task(attempt(call, outcomes))}, max(left, 1.0)):
            return None, "its calls reached the lab, but one of them did not return"
    served = await _settled(bench)
    if outcomes.failed:
        name = next(iter(outcomes.failed))
        return None, f"its calls fail: {sum(outcomes.failed.values())} of {CALLS_IN_SEQUENCE}, with {name}"
    if not served:
        return None, "only its first call reached the lab: it seems to keep the answer instead of asking again"
    witness = await bench.by_hand(bench.lab.witness)
    return s.Sequence(outcomes.finished, witness.served, witness.connections), None


async def _settled(bench: Bench, seconds: float = SETTLE_S) -> int:
    """Wait a moment until the lab has nothing in flight; return how many requests it has served."""
    until = time.perf_counter() + seconds
    while True:
        witness = await bench.by_hand(bench.lab.witness)
        if not witness.current or time.perf_counter() > until:
            return witness.served + witness.current
        await asyncio.sleep(0.02)


def _until_peak(one: s.Burst) -> float:
    """Seconds until the most were on their way, at most the latency: later peaks are a queue's, not a slow start's."""
    if one.stood_s > one.watched_s / 2:
        return 0.0  # a blocked loop is not slow to start
    first = next((second for second, number in one.timeline if number == one.peak), 0.0)
    return min(first, one.latency_s)
