"""The judge: what was seen flows in, a kind, remarks and, if it cannot be told, the reason flow out. Pure.

The one question is: who waited for the requests that were in flight at the lab? Pool sizes, threads created, the peak
alone and a late loop alone decide nothing: a warm pool creates no thread, a pool of 200 has a high peak, a semaphore a
low one, and work on the processor makes any loop late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from supalab.measure.probe.limits import limit_of, new_connections, requests_per_call
from supalab.measure.probe.seen import Burst, Seen

__all__ = [
    "BLOCKING",
    "CANNOT_TELL",
    "FAKE",
    "KINDS",
    "MIXED",
    "OUTSIDE",
    "PROCESSES",
    "REAL",
    "Finding",
    "Shares",
    "judge",
    "shares",
]

BLOCKING, FAKE, REAL = "blocking", "fake async (threads)", "real async"
PROCESSES, OUTSIDE, MIXED = "worker processes", "concurrent, outside Python", "mixed"
CANNOT_TELL = "cannot tell"
KINDS = (BLOCKING, FAKE, REAL, PROCESSES, OUTSIDE, MIXED, CANNOT_TELL)

# Shares of the waiting. Threads and sockets are seen or not seen, so a little of each is already a mixture;
# what nobody was seen waiting for may be the sampling's error.
SOME, SEEN, CLEAR = 0.08, 0.2, 0.5
STILL, AWAKE, STUCK = 0.6, 0.4, 0.5
# In a blocking client at most one request is in flight; two come from what was sent before the loop stood still.
ONE = 1
NO_REUSE = 0.8
# New connections for each request in flight: one is enough for as long as they are kept.
REDIALS = 1.5
HELD_UP_S = 0.25


@dataclass(frozen=True, slots=True)
class Shares:
    """Who waited, as shares of all waiting for the lab; ``unseen`` is the rest, and no share is counted twice.

    ``at_work``: how much of that could be threads in code outside Python, one for each request.
    """

    loop: float = 0.0
    threads: float = 0.0
    events: float = 0.0
    other_loops: float = 0.0
    processes: float = 0.0
    unseen: float = 0.0
    at_work: float = 0.0

    @property
    def outside(self) -> float:
        """The share that threads wait for inside code outside Python: 0 unless most of it is unseen and they work."""
        part = min(self.unseen, self.at_work)
        return part if part > CLEAR and self.processes < SEEN else 0.0


@dataclass(frozen=True, slots=True)
class Finding:
    """The judge's word: ``why`` is the reason of ``cannot tell``, else empty."""

    kind: str
    remarks: tuple[str, ...] = ()
    why: str = ""


def shares(bursts: Sequence[Burst]) -> Shares:
    """Divide the waiting of some bursts among those who were seen waiting: first those in a read of the lab."""
    busy = sum(one.busy_s for one in bursts)
    if not busy:
        return Shares()
    left = 1.0
    parts = []
    for name in ("loop_read", "threads_read", "loop_sockets", "other_loops", "processes"):
        part = min(left, sum(getattr(one.waits, name) for one in bursts) / busy)
        left -= part
        parts.append(part)
    work = sum(one.waits.threads_work for one in bursts) / busy
    loop, threads, events, other_loops, processes = parts
    return Shares(loop, threads, events, other_loops, processes, left, work)


def judge(seen: Seen) -> Finding:
    """Return what kind of client this is."""
    bursts = [one for one in seen.bursts if one.served or one.busy_s]
    why = seen.trouble or _useless(seen, bursts)
    if why:
        return Finding(CANNOT_TELL, why=why)
    kind, remarks = _kind(seen, bursts)
    if kind == CANNOT_TELL:
        return Finding(kind, why=remarks[0])
    return Finding(kind, (*remarks, *_remarks(seen, bursts, kind)))


def _useless(seen: Seen, bursts: Sequence[Burst]) -> str:
    """Why nothing can be concluded from these bursts, or nothing."""
    if not bursts:
        return "the lab saw none of the requests of the bursts: does the client keep answers and ask only once?"
    refused = sum(one.refused for one in bursts)
    if refused:
        return f"the lab turned {refused} requests away, being full: start it with a larger max_in_flight"
    each = requests_per_call(seen)
    if any(one.peak > 1.3 * one.calls * each + 3 for one in bursts):
        return "somebody else asks the same lab meanwhile: give the probe a lab of its own"
    ended = sum(one.finished + sum(one.failed.values()) for one in bursts)
    failed: dict[str, int] = {}
    for one in bursts:
        failed = {name: failed.get(name, 0) + one.failed.get(name, 0) for name in {*failed, *one.failed}}
    if sum(failed.values()) > ended / 2:
        worst = max(failed, key=lambda name: failed[name])
        return f"most calls of the bursts fail: {sum(failed.values())} of {ended}, most with {worst}"
    if all(one.busy_s < one.latency_s for one in bursts) and sum(one.served for one in bursts) > 1:
        return "the lab answers at once, without its latency: it turns these requests away (a wrong key or address?)"
    return ""


def _kind(seen: Seen, bursts: Sequence[Burst]) -> tuple[str, tuple[str, ...]]:
    found = shares(bursts)
    overlap = max(one.peak for one in bursts) > ONE
    if overlap and SOME < found.loop < 1 - 2 * SOME and found.events + found.threads > 2 * SOME:
        return MIXED, ("some calls block the event loop, others do not",)
    # A loop that is held up by starting threads or processes still has many requests waited for elsewhere.
    elsewhere = overlap and max(found.threads, found.processes) > SEEN
    if found.loop > SOME or (_stands_still(bursts) and not elsewhere):
        return BLOCKING, _how_it_blocks(found)
    threads = max(shares([one]).threads for one in bursts)
    events = found.events + found.other_loops
    if threads > SOME and max(events, found.processes) > 2 * SOME:
        return MIXED, ("some requests are waited for by threads, others are not",)
    if min(found.processes, events) > 2 * SOME:
        return MIXED, ("some requests are made by worker processes, others are not",)
    # Whoever was seen waiting did wait: what was missed on a busy machine is more of the same.
    if max(threads, events, found.processes) < SEEN:
        return _unseen(seen, bursts, found)
    if threads >= SEEN:
        return FAKE, ()
    return _by_events(seen, bursts, found) if events >= SEEN else (PROCESSES, ())


def _stands_still(bursts: Sequence[Burst]) -> bool:
    watched = sum(one.watched_s for one in bursts)
    still = sum(one.stood_s for one in bursts) / watched
    resting = sum(one.waits.loop_rest for one in bursts) / watched
    stuck = sum(one.waits.loop_stuck for one in bursts) / watched
    return still > STILL and resting < AWAKE and stuck > STUCK


def _how_it_blocks(found: Shares) -> tuple[str, ...]:
    if found.loop > SOME:
        return ()
    if found.threads > CLEAR or found.processes > CLEAR:
        return ("the event loop's thread waits for other threads or processes",)
    return ("the event loop's thread waits in code that is no read of the lab as far as Python sees",)


def _by_events(seen: Seen, bursts: Sequence[Burst], found: Shares) -> tuple[str, tuple[str, ...]]:
    opened = sum(one.connections for one in bursts)
    by_python = sum(one.connects_loop + one.connects_threads for one in bursts)
    if seen.connects_heard and opened and not by_python:
        return OUTSIDE, ("its sockets hang in the event loop, as those of real async do",)
    if found.other_loops > found.events:
        return REAL, ("in an event loop of another thread",)
    return REAL, ()


def _unseen(seen: Seen, bursts: Sequence[Burst], found: Shares) -> tuple[str, tuple[str, ...]]:
    """Nobody that Python knows of was seen waiting: code outside Python, another kind of loop, or somebody else."""
    if found.unseen > CLEAR and any(one.waits.own > 0 for one in bursts):
        if found.outside:
            return FAKE, ("each thread waits inside code outside Python",)
        if not seen.loop_shows_sockets:
            return REAL, ()
        return OUTSIDE, ()
    unknown = f"{found.unseen:.0%} of the requests were waited for by nobody that can be seen from here"
    return CANNOT_TELL, (f"{unknown}: neither by this process nor by its children",)


def _remarks(seen: Seen, bursts: Sequence[Burst], kind: str) -> tuple[str, ...]:
    said = []
    limit = limit_of(seen)
    if limit is not None and kind not in {BLOCKING, MIXED}:
        said.append(f"limited to {limit}")
    new = new_connections(seen)
    if new is not None and new >= NO_REUSE:
        said.append("no connection reuse")
    elif any(one.connections > REDIALS * one.peak for one in bursts):
        said.append("drops connections under load")
    each = requests_per_call(seen)
    if each >= 1.5:
        said.append(f"{each:.0f} requests for each call")
    worst = max(bursts, key=lambda one: one.gap_cpu_s)
    if kind != BLOCKING and worst.gap_cpu_s > HELD_UP_S:
        said.append(f"it holds up the event loop: {worst.gap_cpu_s:.1f} s of work at a stretch")
    failed = sum(sum(one.failed.values()) for one in bursts)
    lost = sum(one.lost for one in bursts)
    if failed or lost:
        said.append(f"{failed + lost} of {sum(one.calls for one in bursts)} calls of the bursts failed")
    return tuple(said)
